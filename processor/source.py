"""Reads rows from PostgreSQL, the source of truth, in the form that change events are brought to.

Dates and times are turned into integers by the database itself: its types reach further than Python's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from processor.keys import key_text
from processor.rows import (
    DATE_INFINITY,
    DAY_SECONDS,
    MICROSECONDS,
    TIMESTAMP_INFINITY,
    Kind,
    Row,
    days_from_civil,
)
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
        *(in_row_form(projection.table.c[name], kind).label(name) for name, kind in projection.kinds.items())
    )


def _by_key(projection: Projection, rows: sa.CursorResult[Any]) -> dict[str, Row]:
    found = (dict(row) for row in rows.mappings())
    return {key_text(projection.key_columns, row): row for row in found}


def in_row_form(column: sa.ColumnElement[Any], kind: Kind) -> sa.ColumnElement[Any]:
    """A column, or any other expression, as rows.py describes it; IMMUTABLE if the expression is."""
    if kind is Kind.DATE:
        return _finite(column, "date", DATE_INFINITY, column.op("-")(constant("date '1970-01-01'")))
    if kind is Kind.TIMESTAMP:
        # by way of an interval: EXTRACT from a time is not IMMUTABLE, and rounds after the year 294246
        seconds = sa.extract("epoch", column.op("-")(constant("timestamptz '2000-01-01 00:00:00+00'")))
        micros = sa.func.trunc(seconds * constant(str(MICROSECONDS)) + constant(str(_YEAR_2000)))
        return sa.type_coerce(_finite(column, "timestamptz", TIMESTAMP_INFINITY, micros), _Whole)
    if kind in (Kind.TEXT, Kind.NUMERIC):
        return sa.cast(column, sa.Text)
    if kind is Kind.TEXT_LIST:
        return sa.cast(column, pg.ARRAY(sa.Text))
    return sa.cast(column, sa.Double) if kind is Kind.FLOAT else column


def constant(sql: str) -> sa.ColumnElement[Any]:
    """SQL that no parameter may replace: an expression index serves only the expression that made it."""
    return sa.literal_column(sql)


_YEAR_2000: Final = days_from_civil(2000, 1, 1) * DAY_SECONDS * MICROSECONDS


class _Whole(sa.TypeDecorator[int]):
    """A numeric without a fraction as int: microseconds since 1970 outgrow bigint in the year 294247."""

    impl = sa.Numeric
    cache_ok = True

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> int | None:  # noqa: ARG002
        """From Decimal."""
        return None if value is None else int(value)


def _finite(
    column: sa.ColumnElement[Any], type_name: str, infinity: int, value: sa.ColumnElement[Any]
) -> sa.ColumnElement[Any]:
    """`value` of a finite column, else what stands for its infinity."""
    return sa.case(
        (column == constant(f"{type_name} 'infinity'"), constant(str(infinity))),
        (column == constant(f"{type_name} '-infinity'"), constant(str(-infinity))),
        else_=value,
    )
