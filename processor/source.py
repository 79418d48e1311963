"""Reads rows from PostgreSQL, the source of truth, in the form that change events are brought to.

Dates and times are turned into integers by the database itself: its types reach further than Python's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from processor.keys import key_text
from processor.rows import DATE_INFINITY, TIMESTAMP_INFINITY, Kind, Row
from processor.tables.base import Projection


def read_rows(
    connection: sa.Connection, projection: Projection, keys: Sequence[Mapping[str, Any]]
) -> dict[str, Row]:
    """The rows of those keys (column -> value) that exist, by key as text."""
    columns = [projection.table.c[name] for name in projection.key_columns]
    # cast: a key comes as text, whatever its column's type
    one_of = (sa.and_(*(c == sa.cast(key[c.name], c.type) for c in columns)) for key in keys)
    query = select_rows(projection).where(sa.or_(sa.false(), *one_of))
    return _by_key(projection, connection.execute(query))


def read_all(connection: sa.Connection, projection: Projection) -> dict[str, Row]:
    """Every row by key as text; for tables that fit into memory."""
    return _by_key(projection, connection.execute(select_rows(projection)))


def count_rows(connection: sa.Connection, projection: Projection) -> tuple[int, int]:
    """(all rows, rows that readers are to see)."""
    projected = sa.func.count().filter(projection.condition())
    row = connection.execute(sa.select(sa.func.count(), projected).select_from(projection.table)).one()
    return row[0], row[1]


def select_rows(projection: Projection) -> sa.Select[Any]:
    """SELECT of all published columns, each in its Row form."""
    return sa.select(
        *(_in_row_form(projection.table.c[name], kind).label(name) for name, kind in projection.kinds.items())
    )


def _by_key(projection: Projection, rows: sa.CursorResult[Any]) -> dict[str, Row]:
    found = (dict(row) for row in rows.mappings())
    return {key_text(projection.key_columns, row): row for row in found}


def _in_row_form(column: sa.Column[Any], kind: Kind) -> sa.ColumnElement[Any]:
    if kind is Kind.DATE:
        days = sa.cast(column, sa.Date) - sa.cast(sa.literal("1970-01-01"), sa.Date)
        return _finite(column, sa.cast(days, sa.Integer), DATE_INFINITY)
    if kind is Kind.TIMESTAMP:
        # numeric since PostgreSQL 14: exact to the microsecond
        micros = sa.cast(sa.extract("epoch", column) * 1_000_000, sa.BigInteger)
        return _finite(column, micros, TIMESTAMP_INFINITY)
    if kind in (Kind.TEXT, Kind.NUMERIC):
        return sa.cast(column, sa.Text)
    if kind is Kind.TEXT_LIST:
        return sa.cast(column, pg.ARRAY(sa.Text))
    return sa.type_coerce(column, column.type)


def _finite(column: sa.Column[Any], value: sa.ColumnElement[Any], infinity: int) -> sa.ColumnElement[Any]:
    text = sa.cast(column, sa.Text)
    return sa.case(
        (text == "infinity", sa.literal(infinity, sa.BigInteger)),
        (text == "-infinity", sa.literal(-infinity, sa.BigInteger)),
        else_=value,
    )
