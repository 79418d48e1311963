"""What a way to do something takes, round by round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import psutil


class Stopwatch:
    """Adds up seconds while it runs: of the clock, of our CPU, of a local server's process `pid`."""

    def __init__(self, pid: int | None = None) -> None:
        self._server = psutil.Process(pid) if pid else None
        self.wall = self.own = self.server = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add what passes within."""
        wall, own, server = time.perf_counter(), time.process_time(), self._served()
        yield
        self.wall += time.perf_counter() - wall
        self.own += time.process_time() - own
        self.server += self._served() - server

    def _served(self) -> float:
        if self._server is None:
            return 0
        times = self._server.cpu_times()
        return float(times.user + times.system)


@dataclass(eq=False)
class Measured:
    """A way to go through so many rows, and what its rounds took: seconds, and MiB at most."""

    name: str
    rows: int
    wall: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)

    def measure(self, work: Callable[[], int], pid: int | None = None) -> None:
        """Add a round of `work`, which returns how many rows it saw; `pid`: the server's process."""
        watch = Stopwatch(pid)
        with watch.running():
            seen = work()
        self.add(watch, seen)

    def add(self, watch: Stopwatch, seen: int) -> None:
        """Add a round.

        Raises:
            AssertionError: it saw others than there are.
        """
        assert seen == self.rows, f"{self.name}: {seen} of {self.rows} rows"
        self.wall.append(watch.wall)
        self.own.append(watch.own)
        self.server += [watch.server] if watch.server else []

    def per_row(self, seconds: list[float]) -> float | None:
        """Microseconds a row: the median of the rounds; None where nothing was measured."""
        return 1e6 * median(seconds) / self.rows if seconds else None

    def times(self, other: Measured) -> float:
        """How many times as long as another one it takes for a row: the median of the rounds' ratios."""
        pairs = zip(self.wall, other.wall, strict=True)
        return median(mine / theirs for mine, theirs in pairs) * other.rows / self.rows
