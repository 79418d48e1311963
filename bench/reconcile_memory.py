"""One process that compares a table with a prepared store stream, and what it took; run by bench.reconcile.

`stream` does it as the reconciler does; `sets` reads the keys of both sides into two sets and subtracts them.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, cast

import sqlalchemy as sa
import typer

from bench.narrow import fingerprints, projection
from processor.settings import load_settings
from processor.stamp import XID_LIMIT, Stamp
from processor.stores.base import Store
from processor.tables.base import Projection, View
from reconciler.bound import Bound
from reconciler.merge import merge
from reconciler.part import RANGE
from reconciler.records import RecordStream
from reconciler.shard import Shard
from reconciler.source import SourceReader

FAULTS_EVERY: Final = 10_000
"""One record in so many is missing, stale or an orphan, in turn."""
WRONG: Final = "0" * 16


class Prepared:
    """A store whose records stand in a file, some of them wrong; it needs no memory for them."""

    def __init__(self, path: Path, stamp: Stamp) -> None:
        self._path, self._stamp = path, stamp

    def settle(self, view: View) -> None:
        """Nothing to wait for."""

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:  # noqa: ARG002
        """Records in the order of the file, all of them: no scan grows old here."""
        stamp = self._stamp
        with self._path.open() as lines:
            for number, line in enumerate(lines):
                key, fp = line.rstrip("\n").split("\t")
                fault = number // FAULTS_EVERY % 3 if number % FAULTS_EVERY == 0 else None
                if fault != 0:
                    shown = WRONG if fault == 1 else fp
                    yield key, Stamp(stamp.version, stamp.seen, stamp.xid, shown)
                if fault == 2:
                    yield key + "+", stamp


def stream(connection: sa.Connection, projection: Projection, store: Prepared) -> int:
    """How many keys differ, as the reconciler's bulk phase finds them."""
    view, shard = projection.views[0], Shard()
    # a store of the measurement's own: all that a walk needs of one
    walk = RecordStream(cast(Store, store), view, None, clock=lambda: 0)
    bound = Bound(SourceReader(connection), epoch=0)
    differ = 0
    for rows in fingerprints(connection, projection):
        last = rows[-1][0] if len(rows) == RANGE else None
        records = (record for record in walk.upto(last) if shard.takes(record[0]))
        differ += len(merge(rows, records, bound.is_beyond, optional=False, limit=100_000).suspects)
    return differ


def sets(connection: sa.Connection, projection: Projection, store: Prepared) -> int:
    """How many keys only one side has. What is stale goes unseen."""
    query = sa.select(sa.cast(projection.table.c.id, sa.Text))
    # in blocks from a cursor on the server: else the driver would hold the whole answer beside the set
    rows = connection.execution_options(yield_per=RANGE).execute(query)
    keys = {key for (key,) in rows}
    held = {key for key, _ in store.scan(projection.views[0])}
    return len(keys - held) + len(held - keys)


def main(
    way: Annotated[str, typer.Argument(help="stream, sets, or nothing.")],
    database: Annotated[str, typer.Argument(help="Where the table is.")],
    table: Annotated[str, typer.Argument(help="Its name; its key is a UUID.")],
    records: Annotated[Path, typer.Argument(help="The prepared stream.")],
) -> None:
    """Print as JSON: keys that differ, seconds of the clock and of CPU, MiB at most."""
    engine = sa.create_engine(load_settings().postgres.url(db=database), poolclass=sa.NullPool)
    rows = projection(table, sa.Uuid(as_uuid=False))
    with engine.connect() as connection:
        store = Prepared(records, stamp_now(connection))
        wall, own = time.perf_counter(), time.process_time()
        differ = {"stream": stream, "sets": sets, "nothing": lambda *_: 0}[way](connection, rows, store)
        seconds, cpu = time.perf_counter() - wall, time.process_time() - own
    out = {"differ": differ, "seconds": seconds, "cpu": cpu, "mib": peak()}
    typer.echo(json.dumps(out))


def stamp_now(connection: sa.Connection) -> Stamp:
    """As of a change that was applied a moment ago."""
    now = SourceReader(connection).now(epoch=0)
    return Stamp(now.end, now.end, (now.snapshot.following - 1) % XID_LIMIT, WRONG)


def peak() -> float:
    """The most memory that this process ever held (MiB), as Linux counts it."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    typer.run(main)
