"""Tables read in the order of their keys' bytes, on the real server: whole, page by page, share by share."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from processor.keys import key_text
from processor.settings import Settings
from processor.source import read_all
from processor.tables import PROJECTIONS
from processor.tables.base import FieldType, Projection, View
from reconciler.shard import Shard
from reconciler.source import SourceReader, select_fingerprints
from tests.integration.scratch import scratch_database

HOSTILE = [
    "",
    " ",
    "!",
    "a",
    "A",
    "á",
    "ä",
    "b,",
    "b=",
    "b%",
    "b!",
    "b%2C",
    "가",
    "\uffff",
    "\U00010000",
    "Z",
    "_",
]
WHOLE = Shard()


def projection(name: str, *columns: sa.Column[Any]) -> Projection:
    table = sa.Table(
        f"keys_{name}", sa.MetaData(), *columns, sa.Column("note", sa.Text), sa.Column("shown", sa.Boolean)
    )
    return Projection(table, {"shown": True}, (View("redis", f"keys_{name}", {"note": FieldType.STORED}),))


def key(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


ROWS: list[tuple[Projection, list[dict[str, Any]]]] = [
    (projection("text", key("id", sa.Text)), [{"id": text} for text in HOSTILE]),
    (projection("short", key("id", sa.String(64, collation="C"))), [{"id": text} for text in HOSTILE]),
    (projection("uuid", key("id", sa.Uuid)), [{"id": uuid.UUID(int=n << 100 | n)} for n in range(40)]),
    (
        projection("number", key("id", sa.BigInteger)),
        [{"id": n} for n in (-10, -9, 0, 1, 2, 9, 10, 11, 100, 2**62)],
    ),
    (
        projection("day", key("id", sa.Date), key("on", sa.Boolean)),
        [
            {"id": datetime.date(year, 1, 2), "on": on}
            for year in (1969, 1970, 2000, 9999)
            for on in (True, False)
        ],
    ),
    (
        projection("two", key("a", sa.Text), key("b", sa.Integer)),
        [{"a": text, "b": n} for text in HOSTILE for n in (1, 2, 10)],
    ),
]
TABLES = [table for table, _ in ROWS]


@pytest.fixture(scope="module")
def reader(settings: Settings) -> Iterator[SourceReader]:
    with scratch_database(settings) as engine:
        with engine.begin() as connection:
            for table, rows in ROWS:
                table.table.create(connection)
                shown = [{**row, "note": f"n{n}", "shown": True} for n, row in enumerate(rows)]
                connection.execute(sa.insert(table.table), shown)
                connection.execute(
                    sa.update(table.table).where(table.table.c.note == "n3").values(shown=None)
                )
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield SourceReader(connection)


def pages(reader: SourceReader, table: Projection, size: int, shard: Shard = WHOLE) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while page := reader.fingerprints(table, table.views[0], found[-1][0] if found else None, size, shard):
        found += page
    return found


def expected(reader: SourceReader, table: Projection) -> dict[str, str]:
    rows = read_all(reader.connection, table)
    return {key: table.fingerprint(table.views[0], row) for key, row in rows.items() if table.predicate(row)}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_pages_give_every_row_to_be_shown_once_in_byte_order_with_its_fingerprint(
    reader: SourceReader, table: Projection, size: int
) -> None:
    found = pages(reader, table, size)
    assert dict(found) == expected(reader, table)
    assert len(found) == len(read_all(reader.connection, table)) - 1
    assert all(one.encode() < other.encode() for (one, _), (other, _) in pairwise(found))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_postgresql_and_python_put_a_key_into_the_same_share(reader: SourceReader, table: Projection) -> None:
    whole = dict(pages(reader, table, 1_000))
    shares = [Shard(n, 3) for n in range(3)]
    found = [dict(pages(reader, table, 5, shard)) for shard in shares]
    assert found == [{key: fp for key, fp in whole.items() if shard.takes(key)} for shard in shares]
    with reader.connection.engine.connect() as connection:
        in_snapshot = SourceReader(connection)
        deep = [in_snapshot.rows(table, None, 1_000, Shard(1, 3), Shard(n, 2, "deep ")) for n in range(2)]
    assert sorted([*deep[0], *deep[1]]) == sorted(found[1])
    assert not deep[0].keys() & deep[1].keys()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_rows_are_looked_at_by_key_also_those_that_are_not_to_be_shown(
    reader: SourceReader, table: Projection
) -> None:
    every = read_all(reader.connection, table)
    values = [{name: row[name] for name in table.key_columns} for row in every.values()]
    shown = expected(reader, table)
    for look in (reader.look, reader.look_deep):
        found = look(table, table.views[0], values)
        assert found.versions.keys() == every.keys()
        assert {key: version.fp for key, version in found.versions.items() if version.fp} == shown
        assert all(version.xmin > 0 for version in found.versions.values())
    assert dict(found.rows) == every


def test_a_look_tells_who_wrote_and_who_holds_a_row(settings: Settings) -> None:
    table = TABLES[0]
    with scratch_database(settings) as engine:
        with engine.begin() as connection:
            table.table.create(connection)
            connection.execute(
                sa.insert(table.table), [{"id": "a", "shown": True}, {"id": "b", "shown": True}]
            )
        keys = [{"id": "a"}, {"id": "b"}]
        with engine.begin() as other, engine.connect() as connection:
            xid = other.scalar(sa.text("SELECT pg_current_xact_id()::text::bigint"))
            other.execute(sa.select(table.table).where(table.table.c.id == "b").with_for_update())
            look = SourceReader(connection).look(table, table.views[0], keys)
            assert look.versions["a"].xmax == 0
            assert look.versions["b"].xmax == xid
            assert look.versions["a"].xmin == look.versions["b"].xmin != xid
            assert look.snapshot.hides(int(xid or 0))
            assert look.snapshot.shows(look.versions["a"].xmin)


@pytest.mark.parametrize("table", [p for p in PROJECTIONS if p.views], ids=lambda table: table.name)
def test_an_index_has_the_order_in_which_a_table_is_read(database: sa.Engine, table: Projection) -> None:
    query = select_fingerprints(table, table.views[0], "00000000-0000-0000-0000-000000000000", 100, WHOLE)
    text = str(query.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))  # type: ignore[no-untyped-call]
    with database.connect() as connection:
        # tables of tests are small: is there a plan at all that does not sort?
        connection.execute(
            sa.text("SET enable_sort = off; SET enable_seqscan = off; SET enable_bitmapscan = off")
        )
        plan = "\n".join(connection.exec_driver_sql("EXPLAIN " + text).scalars())
    index = f"pk_{table.name}" if len(table.key_columns) == 1 else f"ix_{table.name}_key"
    assert f"Index Scan using {index}" in plan
    assert "Index Cond" in plan
    assert "Sort" not in plan


def test_the_keys_of_these_tables_are_what_stores_are_asked_for(reader: SourceReader) -> None:
    for table in TABLES:
        rows = read_all(reader.connection, table)
        assert {key_text(table.key_columns, table.parse_key(key)) for key in rows} == rows.keys()
