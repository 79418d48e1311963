"""A table of narrow rows in a database of its own, and the ways to read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from processor.fingerprint_sql import fingerprint_column
from processor.tables.base import FieldType, Projection, View
from reconciler.part import RANGE
from reconciler.shard import Shard
from reconciler.source import SourceReader, key_column

Page = Sequence[tuple[str, str]]
_FILL: Final = """
INSERT INTO {table} (id, name, region, amount, active, changed_at)
SELECT {key}, left(md5(n::text), 24), (11 + n % 40)::text, n::bigint * 1000, n % 3 > 0,
       timestamptz '2025-01-01 00:00:00+00' + n * interval '1.000001 s'
FROM generate_series(1, :rows) AS n
"""
UUID_KEYS: Final = "md5(n::text)::uuid"
"""In no order: neighbours in the order of keys lie anywhere in the table."""
TEXT_KEYS: Final = "'POL-' || lpad(n::text, 9, '0')"
"""Numbered documents: neighbours lie side by side."""


def projection(name: str, key: sa.types.TypeEngine[Any]) -> Projection:
    """A projection of a key and five small columns: rows of some 100 bytes."""
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", key, primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("region", sa.Text),
        sa.Column("amount", sa.BigInteger),
        sa.Column("active", sa.Boolean),
        sa.Column("changed_at", sa.DateTime(timezone=True)),
        # the slots of the running stack would have to read past its log
        prefixes=["UNLOGGED"],
    )
    fields = {
        "id": FieldType.KEYWORD,
        "name": FieldType.KEYWORD,
        "region": FieldType.KEYWORD,
        "amount": FieldType.LONG,
        "active": FieldType.BOOLEAN,
        "changed_at": FieldType.TIMESTAMP,
    }
    return Projection(table, {}, (View("redis", name, fields),))


def fill(engine: sa.Engine, projection: Projection, keys: str, rows: int) -> None:
    """Create the table with so many rows; `keys`: SQL of the key of row n."""
    with engine.begin() as connection:
        projection.table.create(connection)
        statement = _FILL.format(table=projection.name, key=keys)
        connection.execute(sa.text(statement), {"rows": rows})
    prepare(engine, projection)


def prepare(engine: sa.Engine, projection: Projection, *statements: str) -> None:
    """Execute them; then let the planner know, and index-only scans trust, what is there."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in (*statements, f"VACUUM (ANALYZE) {projection.name}"):
            connection.execute(sa.text(statement))


def create_index(name: str, projection: Projection, include: bool) -> str:
    """SQL of an index on the key and the fingerprint; `include`: it holds all other columns as well."""
    view, columns = projection.views[0], projection.table.c
    fp = _sql(fingerprint_column(projection, view)).replace(f"{projection.name}.", "")
    others = f"INCLUDE ({', '.join(set(columns.keys()) - {'id'})})" if include else ""
    return f"CREATE INDEX {name} ON {projection.name} (id, ({fp})) {others}"


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One backend does all the work: its CPU time is the server's."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET max_parallel_workers_per_gather = 0")
        yield connection


def copied(connection: sa.Connection, query: str) -> Iterator[bytes]:
    """COPY to us, in the blocks in which it comes."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT") as blocks:
        yield from map(bytes, blocks)


def bare(connection: sa.Connection, projection: Projection) -> int:
    """All keys by the cheapest way, read past; how many."""
    return sum(block.count(b"\n") for block in copied(connection, f"SELECT id FROM {projection.name}"))


def fingerprints(connection: sa.Connection, projection: Projection) -> Iterator[Page]:
    """All rows as the reconciler reads them."""
    reader, view = SourceReader(connection), projection.views[0]
    return pages(lambda after: reader.fingerprints(projection, view, after, RANGE, Shard()))


def from_index(connection: sa.Connection, projection: Projection) -> Iterator[Page]:
    """The same by a statement that an index can answer alone: no inner query stands between."""
    return pages(lambda after: [(key, fp) for key, fp in connection.execute(flat(projection, after))])


def flat(projection: Projection, after: str | None) -> sa.Select[str, str]:
    """(key, fingerprint) of the next range, of a table whose key is a UUID."""
    key = projection.table.c.id
    query = sa.select(key_column(projection), fingerprint_column(projection, projection.views[0]))
    query = query.order_by(key).limit(RANGE)
    return query if after is None else query.where(key > sa.cast(after, key.type))


def pages(read: Callable[[str | None], Any]) -> Iterator[Page]:
    """Ranges behind one another, until one comes short."""
    page = read(None)
    while page:
        yield page
        page = read(page[-1][0]) if len(page) == RANGE else []


def plan(connection: sa.Connection, query: sa.Select[Any]) -> str:
    """The nodes of a plan, the outermost first, with the index that serves it."""
    text = _sql(query)
    found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {text.replace('%', '%%')}").scalar_one()
    node, names = found[0]["Plan"], []
    while node:
        names.append(" ".join(filter(None, (node["Node Type"], node.get("Index Name")))))
        node = next(iter(node.get("Plans", ())), None)
    return " < ".join(names)


def _sql(element: sa.ClauseElement) -> str:
    dialect = sa.create_engine("postgresql+psycopg://").dialect
    text = str(element.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return text.replace("%%", "%")


def write_keys(connection: sa.Connection, projection: Projection, path: Path) -> None:
    """A line `key TAB fingerprint` per row, in byte order of the key."""
    fp, key = fingerprint_column(projection, projection.views[0]), key_column(projection)
    query = _sql(sa.select(key, fp).select_from(projection.table).order_by(key))
    with path.open("wb") as file:
        for block in copied(connection, query):
            file.write(block)


def backend_of(connection: sa.Connection) -> int:
    """The server's process for this connection, on this machine."""
    return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
