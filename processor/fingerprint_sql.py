"""The fingerprint as SQL: PostgreSQL computes what `fingerprint` does, so that only 16 digits a row travel.

Every function in it is IMMUTABLE, so it may stand in an expression index. The database must be encoded in
UTF-8: both sides count and hash bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from processor.fingerprint import DIGITS, LETTERS, NULL
from processor.rows import Kind
from processor.source import constant, in_row_form, source_of
from processor.tables.base import Projection, View


def fingerprint_column(projection: Projection, view: View) -> sa.ColumnElement[str]:
    """`projection.fingerprint(view, row)` of each row."""
    return fingerprint_of((projection.kinds[name], source_of(projection, name)) for name in view.columns)


def fingerprint_of(columns: Iterable[tuple[Kind, sa.ColumnElement[Any]]]) -> sa.ColumnElement[str]:
    """`fingerprint` over any expressions of these kinds, in byte order where it is sorted.

    Each stands in the SQL two to six times: select a costly subquery in an inner query first.
    """
    text = reduce(add, (canonical(kind, column) for kind, column in columns))
    return sa.collate(sa.func.left(sa.func.md5(text), constant(str(DIGITS))), "C")


def canonical(kind: Kind, column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """The twin of `fingerprint.canonical`."""
    text = _text(kind, in_row_form(column, kind))
    length = sa.cast(sa.func.octet_length(text), sa.Text)
    return sa.func.coalesce(_literal(LETTERS[kind]) + length + _literal(":") + text, _literal(NULL))


def _text(kind: Kind, value: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Of a value in Row form; NULL for NULL."""
    if kind is Kind.FLOAT:
        nan = constant("float8 'NaN'")
        return sa.func.encode(sa.func.float8send(sa.case((value == nan, nan), else_=value)), _literal("hex"))
    if kind is Kind.TEXT_LIST:
        length = sa.func.coalesce(sa.func.cardinality(value), constant("0"))
        names = sa.func.array_fill(_literal(""), pg.array([length]))
        return sa.cast(sa.func.json_object(names, value), sa.Text)
    return sa.cast(value, sa.Text)


def _literal(text: str) -> sa.ColumnElement[str]:
    return sa.type_coerce(constant(f"text '{text}'"), sa.Text)
