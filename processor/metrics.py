"""What the processor tells about itself: one place for every number, what it means, what to do when it moves.

Prometheus reads them, `aegis status` reads the state of the stores. All are of this process, since its start.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from processor.errors import AegisError
    from processor.letters import Letter
    from processor.pipeline import TablePlan

STORE_UP: Final = Gauge(
    "aegis_store_up",
    "1: the last work in the store ended; 0: the store was away. 0 for minutes: `aegis status` says why.",
    ["store"],
)
WAITING_SINCE: Final = Gauge(
    "aegis_store_waiting_since_seconds",
    "Unix time since which the processor waits for the store; 0 when it does not. While it waits for one "
    "store, the others get no further than the batch at hand.",
    ["store"],
)
SYNCED: Final = Counter(
    "db_sync_total",
    "Rows by what became of them in the store: applied (written), rejected, compensated (taken, then put "
    "back, because another store refused), compensation_failed (could not be put back).",
    ["target_db", "status"],
)
LATENCY: Final = Histogram(
    "db_sync_latency_seconds",
    "Seconds that a piece of work took in the store, a batch or a part of it; waiting for it included.",
    ["target_db"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
DEAD_LETTERS: Final = Counter(
    "aegis_dead_letters_total",
    "Dead letters written. Any: `aegis dlq list`.",
    ["table", "stage", "code"],
)
CHANGES: Final = Counter(
    "aegis_changes_total",
    "Changes and refreshed rows that are done: in all stores, or in a dead letter.",
    ["table"],
)
PARTITIONS: Final = Gauge(
    "aegis_partitions",
    "Partitions that the process reads; -1 while it has no place in the group.",
)
PARTITIONS.set(-1)


@dataclass(frozen=True, slots=True)
class Away:
    """A store that is waited for: why, since when (Unix time), and what helps."""

    reason: str
    since: float
    hint: str | None = None


_away: dict[str, Away] = {}
_place: list[int] = []


def away() -> dict[str, Away]:
    """The stores that are waited for now, by name."""
    return dict(_away)


def has_place() -> bool:
    """Whether the process has a place in the group, be it one without partitions."""
    return bool(_place)


def in_group(partitions: int) -> None:
    """The group has given the process so many partitions."""
    _place[:] = [partitions]
    PARTITIONS.set(partitions)


def out_of_group() -> None:
    """The process has lost its place, or gives it back."""
    _place.clear()
    PARTITIONS.set(-1)


class Work:
    """Work in several stores at once. It ends when all is done, or is abandoned."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in self._names:
            self._no_longer_waits(name)

    def done(self, name: str) -> None:
        """The store has done its part."""
        STORE_UP.labels(name).set(1)
        LATENCY.labels(name).observe(time.monotonic() - self._began)
        self._no_longer_waits(name)

    def waits(self, name: str, error: AegisError) -> None:
        """The store is away and will be asked again; may be told more than once."""
        known = _away.get(name)
        _away[name] = Away(str(error), known.since if known else time.time(), error.hint)
        STORE_UP.labels(name).set(0)
        WAITING_SINCE.labels(name).set(_away[name].since)

    def _no_longer_waits(self, name: str) -> None:
        _away.pop(name, None)
        WAITING_SINCE.labels(name).set(0)


def wrote(store: str, rows: int) -> None:
    """The store has written so many rows."""
    SYNCED.labels(store, "applied").inc(rows)


def batch_done(tables: Sequence[TablePlan], letters: Sequence[Letter]) -> None:
    """A batch is over: its changes are in all stores, or its letters are written."""
    for table in tables:
        done = sum(map(len, table.changes.values())) + len(table.refreshes)
        CHANGES.labels(table.projection.name).inc(done)
    for letter in letters:
        DEAD_LETTERS.labels(letter.message.topic.rpartition(".")[2], letter.stage, letter.code).inc()
        for store, outcome in letter.outcomes.items():
            if outcome != "skipped":
                SYNCED.labels(store, outcome).inc()
