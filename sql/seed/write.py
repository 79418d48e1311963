"""Inserts seed rows that are not there yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

Row = dict[str, Any]

BATCH_ROWS: Final = 500
"""Rows per statement: 500 policies of 19 columns bind 9,500 parameters of PostgreSQL's 65,535."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """How many rows were inserted, and how many were there already (by any unique key)."""

    inserted: int
    present: int


def write(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> SeedResult:
    """Insert `rows`, all with the same keys; those that are there stay as they are, so emit no change.

    The caller owns the transaction.
    """
    inserted = 0
    for start in range(0, len(rows), BATCH_ROWS):
        batch = [_with_nulls(table, row) for row in rows[start : start + BATCH_ROWS]]
        statement = insert(table).values(batch).on_conflict_do_nothing().returning(*table.primary_key)
        inserted += len(connection.execute(statement).all())
    return SeedResult(inserted=inserted, present=len(rows) - inserted)


def _with_nulls(table: sa.Table, row: Row) -> Row:
    """SQLAlchemy binds None to a JSON column as JSON `null`, a value; absent data must be SQL NULL."""
    return {
        key: sa.null() if value is None and isinstance(table.c[key].type, sa.JSON) else value
        for key, value in row.items()
    }
