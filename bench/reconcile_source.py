"""The ways to read a table's keys and fingerprints in byte order, each beside a bare COPY of the keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from bench import narrow
from bench.measured import Measured
from processor.output import err
from processor.tables.base import Projection
from reconciler.part import RANGE
from reconciler.shard import Shard
from reconciler.source import select_fingerprints

BY_UUID: Final = narrow.projection("by_uuid", sa.Uuid(as_uuid=False))
BY_TEXT: Final = narrow.projection("by_text", sa.Text(collation="C"))
FEW: Final = 3
"""Ranges that tell enough of a way that reads the whole table for each."""


@dataclass(frozen=True)
class Way:
    """How to read, after `statements` have prepared the table.

    Attributes:
        query: the statement that reads a range from the middle, to be explained.
        ranges: None for all.
    """

    name: str
    projection: Projection
    statements: tuple[str, ...]
    read: Callable[[sa.Connection, Projection], Iterator[narrow.Page]]
    query: sa.Select[*tuple[Any, ...]]
    ranges: int | None = None

    def run(self, connection: sa.Connection) -> int:
        """Rows that were read."""
        return sum(map(len, islice(self.read(connection, self.projection), self.ranges)))


def ways() -> list[Way]:
    """In this order: each undoes what the one before has prepared."""
    middle = "8" * 32
    uuids = select_fingerprints(BY_UUID, BY_UUID.views[0], middle, RANGE, Shard())
    texts = select_fingerprints(BY_TEXT, BY_TEXT.views[0], "POL-0", RANGE, Shard())
    index, covering = (
        narrow.create_index(name, BY_UUID, include=name == "covering") for name in ("narrow_fp", "covering")
    )
    as_before = 'ALTER TABLE by_text ALTER id TYPE text COLLATE "default"'
    return [
        Way("uuid key", BY_UUID, (), narrow.fingerprints, uuids),
        Way("uuid key, index (key, fingerprint)", BY_UUID, (index,), narrow.fingerprints, uuids),
        Way(
            "uuid key, covering index, flat query",
            BY_UUID,
            ("DROP INDEX narrow_fp", covering),
            narrow.from_index,
            narrow.flat(BY_UUID, middle),
        ),
        Way('text key COLLATE "C"', BY_TEXT, ("DROP INDEX covering",), narrow.fingerprints, texts),
        Way("text key, other collation", BY_TEXT, (as_before,), narrow.fingerprints, texts, FEW),
    ]


def sources(engine: sa.Engine, rows: int, rounds: int) -> Iterator[tuple[Measured, Measured, str]]:
    """(a way, the bare COPY beside it, the way's plan)."""
    for projection, keys in ((BY_UUID, narrow.UUID_KEYS), (BY_TEXT, narrow.TEXT_KEYS)):
        err.print(f"{rows:,} rows into {projection.name}", highlight=False)
        narrow.fill(engine, projection, keys, rows)
    for way in ways():
        err.print(f"{rows:,} rows: {way.name}", highlight=False)
        narrow.prepare(engine, way.projection, *way.statements)
        with narrow.reading(engine) as connection:
            yield *_beside_bare(way, connection, rows, rounds), narrow.plan(connection, way.query)


def _beside_bare(way: Way, connection: sa.Connection, rows: int, rounds: int) -> tuple[Measured, Measured]:
    pid = narrow.backend_of(connection)
    bare = Measured("bare COPY of the keys", rows)
    mine = Measured(way.name, rows if way.ranges is None else min(rows, way.ranges * RANGE))
    for _ in range(rounds):
        bare.measure(lambda: narrow.bare(connection, way.projection), pid)
        mine.measure(lambda: way.run(connection), pid)
    return mine, bare
