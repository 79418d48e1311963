"""What all models share: names of constraints, and what may leave the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PRIVATE: Final[dict[str, Any]] = {"private": True}
"""`info` of a column that is neither published nor readable by the processor."""
SEALED: Final[dict[str, Any]] = {**PRIVATE, "sealed": True}
"""The same of a column that holds encrypted values (sql/sealed.py)."""
CAPTURED: Final[dict[str, Any]] = {"captured": True}
"""`info` of a table whose changes travel to the derived stores, and say what the row was (identity FULL)."""
CAPTURED_BY_KEY: Final[dict[str, Any]] = {**CAPTURED, "by_key": True}
"""The same with identity DEFAULT, which a column list demands: changes say only what the row is."""
PERSONAL: Final[dict[str, Any]] = {"personal": True}
"""`info` of a table whose rows tell of a person, in whatever column: nothing of one is kept elsewhere."""

MAX_LONG_BYTES: Final = 7 * 1024 * 1024
MAX_LIST_BYTES: Final = 256 * 1024
MAX_URL_BYTES: Final = 64 * 1024
MAX_METADATA_BYTES: Final = 512 * 1024
"""Bounds of what a captured row may hold, so that its change fits into a Kafka record of 16 MiB: a row of one
long column, two lists and a URL takes 8.2 MB at the most (a list in Avro up to 1.5 times its text), and an
update under REPLICA IDENTITY FULL carries it twice, 16.4 of 16.8 MB. A document has metadata instead."""
MAX_PATH_BYTES: Final = 2_000
"""Of a path as text: a unique index takes 2,704 bytes an entry."""


class Base(DeclarativeBase):
    """Parent of all models; constraint and index names follow one convention."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UuidKey:
    """`id`, made by the database when the writer gives none."""

    id: Mapped[UUID] = mapped_column(
        sa.Uuid, primary_key=True, server_default=sa.text("gen_random_uuid()"), sort_order=-1
    )


class Timestamps:
    """`created_at` and `updated_at`; a trigger sets the latter on every update."""

    created_at: Mapped[datetime] = mapped_column(
        sa.DateTime(timezone=True), server_default=sa.text("now()"), sort_order=100
    )
    updated_at: Mapped[datetime] = mapped_column(
        sa.DateTime(timezone=True), server_default=sa.text("now()"), sort_order=101
    )


def clean_list(column: str) -> str:
    """SQL condition: one dimension (or empty), no NULL and no empty text."""
    return (
        f"cardinality({column}) = 0 OR array_ndims({column}) = 1"
        f" AND array_position({column}, NULL) IS NULL AND array_position({column}, '') IS NULL"
    )


def at_most(size: int, column: str) -> str:
    """SQL condition: as text, the column takes no more than `size` bytes."""
    return f"octet_length({column}) <= {size}"


def between(column: str, least: int, most: int) -> str:
    """SQL condition; the upper bound keeps NaN out, which is greater than every number."""
    return f"{column} >= {least} AND {column} <= {most}"


def key_text(**columns: str) -> str:
    """SQL of a key of several columns as text (see processor/keys.py), in whose order stores give records.

    `columns`: name -> SQL of its text.
    """
    escaped = "replace(replace(replace({}, '%', '%25'), ',', '%2C'), '=', '%3D')"
    parts = [
        f"'{',' if n else ''}{name}=' || {escaped.format(text)}"
        for n, (name, text) in enumerate(columns.items())
    ]
    return f'{" || ".join(parts)} COLLATE "C"'


def one_of(column: str, values: Sequence[str]) -> str:
    """SQL condition."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"
