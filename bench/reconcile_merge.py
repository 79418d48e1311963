"""Merging a table with a prepared store stream: by itself, and as a process beside the naive one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Final, cast

import sqlalchemy as sa

from bench import narrow
from bench.measured import Measured, Stopwatch
from bench.reconcile_memory import FAULTS_EVERY, Prepared, stamp_now
from bench.reconcile_source import BY_UUID
from processor.output import err
from processor.stamp import Stamp
from processor.stores.base import Store
from processor.tables.base import View
from reconciler.bound import Bound
from reconciler.merge import merge
from reconciler.part import RANGE
from reconciler.records import RecordStream
from reconciler.shard import Shard
from reconciler.source import SourceReader

Records = list[tuple[str, Stamp]]
Range = tuple[list[tuple[str, str]], Records]
WAYS: Final = {
    "stream": "streamed and merged",
    "sets": "two sets of keys, subtracted",
    "nothing": "imports only",
}


class _Held:
    """A store whose records are at hand."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def settle(self, view: View) -> None:
        """Nothing to wait for."""

    def scan(self, view: View, after: str | None) -> Iterator[tuple[str, Stamp]]:  # noqa: ARG002
        """All of them."""
        return iter(self._records)


def _walked(records: Records) -> Iterator[tuple[str, Stamp]]:
    """Through the generators that stand before `merge` in a run."""
    view, shard = BY_UUID.views[0], Shard()
    walk = RecordStream(cast(Store, _Held(records)), view, None)
    return (record for record in walk.upto(None) if shard.takes(record[0]))


def merges(engine: sa.Engine, path: Path, rows: int, rounds: int) -> tuple[Measured, Measured]:
    """(`merge` with its records as they come in a run, `merge` alone): CPU of ranges that lie ready."""
    err.print(f"{rows:,} rows: merge", highlight=False)
    alone, walked = Measured("merge", rows), Measured("merge, behind a store's walk", rows)
    with narrow.reading(engine) as connection:
        stamp = stamp_now(connection)
        bound = Bound(SourceReader(connection), epoch=0)
        for _ in range(rounds):
            for measured, form in ((alone, iter), (walked, _walked)):
                _merge(measured, path, stamp, bound, form)
    return walked, alone


def _merge(
    measured: Measured,
    path: Path,
    stamp: Stamp,
    bound: Bound,
    form: Callable[[Records], Iterable[tuple[str, Stamp]]],
) -> None:
    watch, seen, differ = Stopwatch(), 0, 0
    for rows, records in _ranges(path, stamp):
        with watch.running():
            merged = merge(rows, form(records), bound.is_beyond, optional=False, limit=RANGE)
        seen += merged.rows
        differ += len(merged.suspects)
    assert differ == ceil(measured.rows / FAULTS_EVERY), f"{differ} differ"
    measured.add(watch, seen)


def _ranges(path: Path, stamp: Stamp) -> Iterator[Range]:
    """Rows and the records beside them; each side has texts of its own, as two servers would give them."""
    store = Prepared(path, stamp).scan(BY_UUID.views[0])
    ahead = next(store, None)
    with path.open() as lines:
        while rows := [_row(line) for line in islice(lines, RANGE)]:
            records: Records = []
            while ahead is not None and ahead[0].rstrip("+") <= rows[-1][0]:
                records.append(ahead)
                ahead = next(store, None)
            yield rows, records


def _row(line: str) -> tuple[str, str]:
    key, fp = line.rstrip("\n").split("\t")
    return key, fp


def processes(engine: sa.Engine, path: Path, rows: int, rounds: int) -> dict[str, Measured]:
    """Each way in a process of its own."""
    found = {way: Measured(name, rows) for way, name in WAYS.items()}
    for _ in range(rounds):
        for way, measured in found.items():
            err.print(f"{rows:,} rows: {measured.name}", highlight=False)
            result = _process(way, str(engine.url.database), path)
            assert result["differ"] == _expected(way, rows), result
            measured.mib.append(result["mib"])
            if way != "nothing":
                measured.wall.append(result["seconds"])
                measured.own.append(result["cpu"])
    return found


def _process(way: str, database: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.reconcile_memory", way, database, BY_UUID.name, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return cast(dict[str, float], json.loads(done.stdout))


def _expected(way: str, rows: int) -> int:
    """Faults that it can find: sets of keys know nothing of contents, so not the second kind of three."""
    faults = ceil(rows / FAULTS_EVERY)
    return {"stream": faults, "sets": faults - (faults + 1) // 3, "nothing": 0}[way]
