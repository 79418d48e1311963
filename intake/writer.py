"""Writes rows of one table: good ones in few statements, and each bad one is found.

When PostgreSQL refuses something in a chunk, the chunk is halved until the refused row stands alone: some 20
savepoints for one row in 500.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from intake.letters import Bad
from intake.refusals import Refusal, duplicate, refusal_of
from intake.rows import Row, keys

Key = tuple[Any, ...]


@dataclass(slots=True)
class Written:
    """What became of rows; `present`: they were there."""

    added: list[Row] = field(default_factory=list)
    present: list[Row] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)

    def __add__(self, other: Written) -> Written:
        return Written(self.added + other.added, self.present + other.present, self.bad + other.bad)


class RowWriter:
    """Writes into one table, in savepoints of the caller's transaction."""

    def __init__(self, connection: sa.Connection, table: sa.Table, *, by_key: bool = False) -> None:
        """`by_key`: a row is present when its key is, whatever else it holds."""
        self._connection = connection
        self._table = table
        self._by_key = by_key
        self._keys = keys(table)

    def write(self, rows: Sequence[Row]) -> Written:
        """Insert what is not there. A row is there when one with its key holds all that the line says."""
        if not rows:
            return Written()
        try:
            with self._connection.begin_nested():
                added, left = self._insert(rows)
        except (sa.exc.IntegrityError, sa.exc.DataError) as error:
            if len(rows) == 1:
                return Written(bad=[Bad(rows[0].line, refusal_of(error.orig, self._table))])
            middle = len(rows) // 2
            return self.write(rows[:middle]) + self.write(rows[middle:])
        if self._by_key:
            return Written(added, present=left)
        return Written(added) + self._judge(left)

    def _insert(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """Rows that were inserted, and those whose key is taken; a statement for rows of the same columns."""
        key = self._keys[0]
        statement = insert(self._table).on_conflict_do_nothing().returning(*self._table.primary_key)
        added: list[Row] = []
        left: list[Row] = []
        for _, group in groupby(sorted(rows, key=_columns), key=_columns):
            alike = list(group)
            inserted = {
                tuple(row) for row in self._connection.execute(statement, [row.values for row in alike])
            }
            for row in alike:
                value = _value(row.values, key)
                (added if value in inserted else left).append(row)
                inserted.discard(value)  # the same key a second time was not inserted
        return added, left

    def _judge(self, rows: Sequence[Row]) -> Written:
        """Whether rows whose keys are taken are there as they are, or are others."""
        judged = Written()
        existing = self._existing(rows) if rows else {}
        for row in rows:
            refusal = self._differs(row, existing)
            if refusal is None:
                judged.present.append(row)
            else:
                judged.bad.append(Bad(row.line, refusal))
        return judged

    def _differs(self, row: Row, existing: Mapping[tuple[str, ...], Mapping[Key, Any]]) -> Refusal | None:
        found = [(key, existing[key].get(_value(row.values, key))) for key in self._keys]
        others = [(key, other) for key, other in found if other is not None]
        given = row.values.keys() - row.made
        if any(all(other[name] == _naive(row.values[name]) for name in given) for _, other in others):
            return None
        return duplicate(others[0][0] if others else self._keys[0])

    def _existing(self, rows: Sequence[Row]) -> dict[tuple[str, ...], dict[Key, Any]]:
        """Rows of the table that have one of these keys, by each key."""
        conditions = [self._table_key(key).in_(_values(rows, key)) for key in self._keys]
        query = sa.select(*map(_readable, self._table.columns)).where(sa.or_(*conditions))
        found = self._connection.execute(query).mappings().all()
        return {key: {_value(dict(row), key): row for row in found} for key in self._keys}

    def _table_key(self, key: tuple[str, ...]) -> sa.ColumnElement[Any]:
        return sa.tuple_(*(self._table.c[name] for name in key))


def _readable(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The column, with NULL for infinity and for years that Python has not: no line can say them.

    Times are in UTC and without a zone, for the session's zone could carry one out of these years.
    """
    value: sa.ColumnElement[Any]
    if isinstance(column.type, sa.Date):
        value, end = column, "9999-12-31"
    elif isinstance(column.type, sa.DateTime):
        value, end = sa.func.timezone("UTC", column, type_=sa.DateTime()), "9999-12-31 23:59:59.999999"
    else:
        return column
    ours = value.between(sa.literal_column("'0001-01-01'"), sa.literal_column(f"'{end}'"))
    return sa.case((ours, value)).label(column.name)


def _naive(value: Any) -> Any:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value


def _columns(row: Row) -> list[str]:
    return sorted(row.values)


def _value(values: Mapping[str, Any], key: Iterable[str]) -> Key:
    return tuple(values.get(name) for name in key)


def _values(rows: Sequence[Row], key: tuple[str, ...]) -> list[Key]:
    """The keys of these rows, of those that have one: NULL is equal to nothing."""
    return [value for row in rows if None not in (value := _value(row.values, key))]
