"""Reads rows from PostgreSQL, the source of truth, in the form that change events are brought to.

Dates and times are turned into integers by the database itself: its types reach further than Python's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from processor.database import make_engine
from processor.errors import ConfigurationError, SourceError
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
from processor.settings import PostgresSettings
from processor.snapshot import Snapshot
from processor.tables.base import Projection
from sql.positions import insert_lsn
from sql.queries import QUERIES

READ_BYTES: Final = 32 * 1024 * 1024
"""Of rows at a time, roughly; the keys of the others come with the next reading."""
STATEMENT_SECONDS: Final = 30
"""A read that hangs would keep its batch, and the partitions with it."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was read: its snapshot, and where the log ended after it (LSN)."""

    snapshot: Snapshot
    end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows of some keys as one snapshot shows them.

    Attributes:
        rows: those that exist, by key as text.
        lockers: key -> 32-bit `xmax` of its row: who deletes, replaces or locks it; 0 for none.
        end: where the log ended after the read (LSN).
        unread: keys whose rows did not fit into the reading.
    """

    rows: Mapping[str, Row]
    lockers: Mapping[str, int]
    snapshot: Snapshot
    end: int
    unread: frozenset[str] = frozenset()


class RowReader:
    """Reads rows again, from the primary, as the role that may read the published columns only."""

    def __init__(
        self, settings: PostgresSettings, connections: int = 1, statement_seconds: int = STATEMENT_SECONDS
    ) -> None:
        """`connections` at the most, for as many threads; more of them wait for `statement_seconds`."""
        self._where = f"postgresql at {settings.host}:{settings.port}"
        self._engine = make_engine(
            settings.processor_url(),
            pool_size=connections,
            max_overflow=0,
            pool_timeout=statement_seconds,
            pool_pre_ping=True,  # a server that was restarted is not to fail the first read after it
            isolation_level="REPEATABLE READ",
            connect_args={
                "options": f"-c statement_timeout={statement_seconds}s -c lock_timeout=5s",
                "tcp_user_timeout": "10000",  # milliseconds
            },
        )

    def read(self, projection: Projection, keys: Sequence[Mapping[str, Any]]) -> Reading:
        """The rows of those keys (column -> value in Row form).

        Raises:
            SourceError: PostgreSQL does not answer, or is a standby.
            ConfigurationError: the table, a column or a right is missing.
        """
        (rows, lockers, unread), moment = self.see(lambda c: read_locked(c, projection, keys))
        return Reading(rows, lockers, moment.snapshot, moment.end, unread)

    def see(self, look: Callable[[sa.Connection], T]) -> tuple[T, Moment]:
        """What `look` finds in one snapshot.

        Raises:
            SourceError, ConfigurationError: as `read`.
        """
        with self._answering(), self._engine.connect() as connection:
            snapshot = connection.execute(sa.text(QUERIES["snapshot"])).scalar_one()
            found = look(connection)
            following = connection.execute(sa.text(QUERIES["next_xid"])).scalar_one()
            end = insert_lsn(connection)
        return found, Moment(Snapshot.parse(snapshot, following), end)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            told = f"{self._where}: {str(error.orig).strip().splitlines()[0]}"
            if isinstance(error, sa.exc.ProgrammingError):
                raise ConfigurationError(told, hint="aegis migrate") from error
            raise SourceError(told, hint="aegis stack up postgres") from error
        except sa.exc.TimeoutError as error:
            told = f"{self._where}: all our connections are busy"
            raise SourceError(told, hint="look at pg_stat_activity for what keeps them") from error

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()


def xid_column(name: str) -> sa.Label[int]:
    """`xmin` or `xmax`: a system column that holds a transaction's number."""
    return sa.cast(sa.cast(sa.column(name), sa.Text), sa.BigInteger).label(name)


_LOCKER: Final = xid_column("xmax")


def read_locked(
    connection: sa.Connection, projection: Projection, keys: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Row], dict[str, int], frozenset[str]]:
    """Rows and their lockers as in `Reading`, until READ_BYTES are read; and the keys of those left out."""
    rows, unread = _read(connection, projection, keys)
    lockers = {key: row.pop(_LOCKER.name) for key, row in rows.items()}
    return dict[str, Row](rows), lockers, unread


def _read(
    connection: sa.Connection, projection: Projection, keys: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, dict[str, Any]], frozenset[str]]:
    query = select_rows(projection).add_columns(_LOCKER).where(one_of(projection, keys))
    result = connection.execute(query, execution_options={"yield_per": 100})
    rows: dict[str, dict[str, Any]] = {}
    size = 0
    for row in map(dict[str, Any], result.mappings()):
        rows[key_text(projection.key_columns, row)] = row
        size += sum(len(value) for value in row.values() if isinstance(value, str))
        if size > READ_BYTES:
            result.close()
            return rows, frozenset(key_text(projection.key_columns, key) for key in keys) - rows.keys()
    return rows, frozenset()


def read_rows(
    connection: sa.Connection, projection: Projection, keys: Sequence[Mapping[str, Any]]
) -> dict[str, Row]:
    """The rows of those keys (column -> value in Row form) that exist, by key as text."""
    query = select_rows(projection).where(one_of(projection, keys))
    return dict[str, Row](_by_key(projection, connection.execute(query)))


def one_of(projection: Projection, keys: Sequence[Mapping[str, Any]]) -> sa.ColumnElement[bool]:
    """Whether a row has one of those keys (column -> value in Row form)."""
    columns = [projection.table.c[name] for name in projection.key_columns]
    values = [[_native(projection, column, key[column.name]) for column in columns] for key in keys]
    if len(columns) == 1:
        return columns[0].in_([value for (value,) in values])
    return sa.tuple_(*columns).in_([sa.tuple_(*parts) for parts in values])


def _native(projection: Projection, column: sa.Column[Any], value: Any) -> sa.ColumnElement[Any]:
    """A value in Row form as SQL of the column's own type."""
    if projection.kinds[column.name] is Kind.DATE:
        return sa.cast("1970-01-01", sa.Date) + sa.cast(value, sa.Integer)
    return sa.cast(value, column.type)


def read_all(connection: sa.Connection, projection: Projection) -> dict[str, Row]:
    """Every row by key as text; for tables that fit into memory."""
    return dict[str, Row](_by_key(projection, connection.execute(select_rows(projection))))


def count_rows(connection: sa.Connection, projection: Projection) -> tuple[int, int]:
    """(all rows, rows that readers are to see)."""
    projected = sa.func.count().filter(projection.condition())
    row = connection.execute(sa.select(sa.func.count(), projected).select_from(projection.table)).one()
    return row[0], row[1]


def select_rows(projection: Projection) -> sa.Select[Any]:
    """SELECT of all published and joined columns, each in its Row form."""
    columns = (in_row_form(source_of(projection, name), kind) for name, kind in projection.kinds.items())
    return sa.select(*map(sa.Label, projection.kinds, columns)).select_from(projection.table)


def select_keys(projection: Projection) -> sa.Select[Any]:
    """SELECT of the key's columns only, each in its Row form."""
    columns = (
        in_row_form(projection.table.c[name], projection.kinds[name]) for name in projection.key_columns
    )
    return sa.select(*map(sa.Label, projection.key_columns, columns)).select_from(projection.table)


def source_of(projection: Projection, name: str) -> sa.ColumnElement[Any]:
    """The table's own column, or the subquery that stands for a joined one."""
    if name in projection.joined:
        return projection.joined[name].expression
    return projection.table.c[name]


def _by_key(projection: Projection, rows: sa.CursorResult[Any]) -> dict[str, dict[str, Any]]:
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
