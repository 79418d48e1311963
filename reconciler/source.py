"""Reads the tables for comparison: ranges in byte order of the key, and single rows with who wrote them.

Each range is a statement of its own: a snapshot kept for the whole run would keep PostgreSQL from removing
dead rows meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, Final

import sqlalchemy as sa

from processor.database import engine_of
from processor.decide import Now
from processor.fingerprint_sql import fingerprint_of
from processor.keys import ESCAPES, key_text
from processor.rows import Kind, Row
from processor.settings import PostgresSettings
from processor.snapshot import Snapshot
from processor.source import READ_BYTES, constant, in_row_form, one_of, select_rows, source_of, xid_column
from processor.tables.base import Projection, View
from reconciler.shard import Shard
from reconciler.verdict import RowVersion
from sql.positions import insert_lsn
from sql.queries import QUERIES

TIMEOUTS: Final = {"options": "-c lock_timeout=30s", "tcp_user_timeout": "30000"}
"""A network that is cut, or a table that is being rebuilt, ends a run instead of hanging it."""
LOOK: Final = 1_000
"""Rows looked at by one statement."""


@dataclass(frozen=True)
class Look:
    """Some rows in one snapshot.

    Attributes:
        versions: by key, of those that exist.
        end: LSN, where the log ended after the read.
        rows: by key, whole rows, where they were asked for.
    """

    versions: Mapping[str, RowVersion]
    snapshot: Snapshot
    end: int
    rows: Mapping[str, Row] = field(default_factory=dict)


class Source:
    """PostgreSQL, as the role that may read the published columns and nothing else."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._url = settings.processor_url()

    @contextmanager
    def reading(self) -> Iterator[SourceReader]:
        """A connection whose every statement has a snapshot of its own.

        Raises:
            SourceError: PostgreSQL does not answer, or lacks a table or a right.
        """
        with engine_of(self._url, TIMEOUTS) as engine, engine.connect() as connection:
            yield SourceReader(connection.execution_options(isolation_level="AUTOCOMMIT"))

    @contextmanager
    def looking(self) -> Iterator[SourceReader]:
        """A connection in one snapshot, which is ended with it."""
        with engine_of(self._url, TIMEOUTS) as engine, engine.connect() as connection:
            yield SourceReader(connection.execution_options(isolation_level="REPEATABLE READ"))


class SourceReader:
    """Reads over one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection

    def fingerprints(
        self, projection: Projection, view: View, after: str | None, limit: int, shard: Shard
    ) -> list[tuple[str, str]]:
        """(key, fingerprint) of the next rows that readers are to see, in byte order of the key."""
        query = select_fingerprints(projection, view, after, limit, shard)
        return [(key, fp) for key, fp in self.connection.execute(query)]

    def rows(
        self, projection: Projection, after: str | None, limit: int, *shards: Shard
    ) -> dict[str, dict[str, Any]]:
        """The same rows as a whole, by key, in a snapshot; fewer, but at least one, where they are large."""
        query = _range(projection, select_rows(projection), after, limit, *shards)
        rows: dict[str, dict[str, Any]] = {}
        size = 0
        with self.connection.execute(query, execution_options={"yield_per": 50}) as result:
            for row in map(dict[str, Any], result.mappings()):
                rows[key_text(projection.key_columns, row)] = row
                size += sum(len(value) for value in row.values() if isinstance(value, str))
                if size > READ_BYTES:
                    break
        return rows

    def look(self, projection: Projection, view: View, keys: Sequence[Mapping[str, Any]]) -> Look:
        """Rows of those keys as they are now; call it once in a snapshot."""
        snapshot, versions = self._snapshot(), {}
        for start in range(0, len(keys), LOOK):
            query = select_versions(projection, view).where(one_of(projection, keys[start : start + LOOK]))
            for key, fp, shown, xmin, xmax in self.connection.execute(query):
                versions[key] = RowVersion(fp if shown else None, xmin, xmax)
        return Look(versions, self._parse(snapshot), insert_lsn(self.connection))

    def look_deep(self, projection: Projection, view: View, keys: Sequence[Mapping[str, Any]]) -> Look:
        """The same with the rows themselves."""
        snapshot = self._snapshot()
        query = select_rows(projection).add_columns(xid_column("xmin"), xid_column("xmax"))
        rows: dict[str, Row] = {}
        versions = {}
        for start in range(0, len(keys), LOOK):
            found = self.connection.execute(query.where(one_of(projection, keys[start : start + LOOK])))
            for row in map(dict[str, Any], found.mappings()):
                xmin, xmax = row.pop("xmin"), row.pop("xmax")
                key = key_text(projection.key_columns, row)
                fp = projection.fingerprint(view, row) if projection.predicate(row) else None
                rows[key], versions[key] = row, RowVersion(fp, xmin, xmax)
        return Look(versions, self._parse(snapshot), insert_lsn(self.connection), rows)

    def now(self, epoch: int) -> Now:
        """The end of the log, and the transactions that have begun."""
        snapshot = self._snapshot()
        return Now(epoch, insert_lsn(self.connection), self._parse(snapshot))

    def estimate(self, projection: Projection) -> int | None:
        """About how many rows there are, as PostgreSQL's planner believes; None where it does not know."""
        found = self.connection.scalar(sa.text(QUERIES["estimate"]), {"table": projection.full_name})
        return None if found is None or found < 0 else int(found)

    def is_empty(self, projection: Projection) -> bool:
        """Whether the table has no row at all, shown or not."""
        return not self.connection.scalar(sa.select(sa.exists(sa.select(1).select_from(projection.table))))

    def _snapshot(self) -> str:
        return str(self.connection.execute(sa.text(QUERIES["snapshot"])).scalar_one())

    def _parse(self, snapshot: str) -> Snapshot:
        following = self.connection.execute(sa.text(QUERIES["next_xid"])).scalar_one()
        return Snapshot.parse(snapshot, following)


def key_values(projection: Projection, key: str) -> dict[str, Any] | None:
    """A key's columns in Row form; None of a record that somebody else wrote, whose key no row can have."""
    try:
        values = projection.parse_key(key)
    except ValueError:
        return None
    # another spelling of a row's key, as a UUID in capitals, is nobody's
    return values if key_text(projection.key_columns, values) == key else None


def key_column(projection: Projection) -> sa.ColumnElement[str]:
    """`key_text` of each row, compared by bytes."""
    parts = [
        _text(projection.table.c[name], projection.kinds[name], escaped=len(projection.key_columns) > 1)
        for name in projection.key_columns
    ]
    if len(parts) > 1:
        named = zip(projection.key_columns, parts, strict=True)
        pairs = [_name(f"{',' if n else ''}{name}=") + part for n, (name, part) in enumerate(named)]
        return sa.collate(reduce(add, pairs), "C")
    return sa.collate(parts[0], "C")


def select_fingerprints(
    projection: Projection, view: View, after: str | None, limit: int, shard: Shard
) -> sa.Select[Any]:
    """The next `limit` (key, fingerprint) behind `after`.

    The inner query picks the rows, and computes a costly joined column once for its fingerprint.
    """
    inner = _range(projection, _select_view(projection, view), after, limit, shard).subquery()
    fp = fingerprint_of((projection.kinds[name], inner.c[f"v_{name}"]) for name in view.columns)
    return sa.select(inner.c.aegis_key, fp).order_by(inner.c.aegis_order)


def select_versions(projection: Projection, view: View) -> sa.Select[Any]:
    """(key, fingerprint, whether readers are to see it, xmin, xmax) of rows; add which ones by `where`."""
    fp = fingerprint_of((projection.kinds[name], source_of(projection, name)) for name in view.columns)
    shown = sa.func.coalesce(projection.condition(), sa.false())
    columns: list[sa.ColumnElement[Any]] = [
        key_column(projection),
        fp,
        shown,
        xid_column("xmin"),
        xid_column("xmax"),
    ]
    return sa.select(*columns).select_from(projection.table)


def _select_view(projection: Projection, view: View) -> sa.Select[Any]:
    columns = [sa.label(f"v_{name}", source_of(projection, name)) for name in view.columns]
    key = sa.label("aegis_key", key_column(projection))
    order = sa.label("aegis_order", _index_order(projection))
    return sa.select(key, order, *columns).select_from(projection.table)


def _range(
    projection: Projection, query: sa.Select[Any], after: str | None, limit: int, *shards: Shard
) -> sa.Select[Any]:
    key, order = key_column(projection), _index_order(projection)
    query = query.where(projection.condition(), *(shard.condition(key) for shard in shards))
    query = query.order_by(order).limit(limit)
    return query if after is None else query.where(order > _as_key(projection, after))


def _index_order(projection: Projection) -> sa.ColumnElement[Any]:
    """What sorts rows by their keys' bytes: of a UUID the column itself, whose index has that order."""
    (column, *others) = (projection.table.c[name] for name in projection.key_columns)
    return column if not others and isinstance(column.type, sa.Uuid) else key_column(projection)


def _as_key(projection: Projection, key: str) -> sa.ColumnElement[Any]:
    column = projection.table.c[projection.key_columns[0]]
    single = len(projection.key_columns) == 1
    return sa.cast(key, column.type if single and isinstance(column.type, sa.Uuid) else sa.Text)


def _name(text: str) -> sa.ColumnElement[str]:
    return sa.type_coerce(constant(f"'{text}'"), sa.Text)


def _text(column: sa.Column[Any], kind: Kind, escaped: bool) -> sa.ColumnElement[str]:
    """A key column as `str` makes text of its value in Row form."""
    if kind is Kind.BOOLEAN:
        return sa.case((column.is_(sa.true()), "True"), else_="False")
    if kind is not Kind.TEXT:
        return sa.cast(in_row_form(column, kind), sa.Text)
    text: sa.ColumnElement[str] = column if isinstance(column.type, sa.String) else sa.cast(column, sa.Text)
    if escaped:
        for character, spelled in ESCAPES.items():
            text = sa.func.replace(text, constant(f"'{character}'"), constant(f"'{spelled}'"))
    return text
