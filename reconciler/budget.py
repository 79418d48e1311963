"""How long and how fast a run may work, and that it was told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Lock

from reconciler.errors import StoppedEarly

AGAIN = "the same command goes on where this one stopped"


class Budget:
    """Asked between two steps, by all threads; also the only place that waits on purpose."""

    def __init__(
        self,
        stop: Event,
        max_seconds: float | None = None,
        rows_per_second: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = stop
        self._clock = clock
        self._max_seconds = max_seconds
        self._until = None if max_seconds is None else clock() + max_seconds
        self._rows_per_second = rows_per_second
        self._free = clock()
        self._lock = Lock()

    def spend(self, rows: int = 0) -> None:
        """Account for rows that were read, on either side; wait where that was too fast.

        Raises:
            StoppedEarly: the time is up, or a signal came.
        """
        if self._rows_per_second:
            with self._lock:
                now = self._clock()
                self._free = max(self._free, now) + rows / self._rows_per_second
                seconds = self._free - now
            left = seconds if self._until is None else min(seconds, self._until - now)
            self._stop.wait(max(left, 0))
        if self._stop.is_set():
            raise StoppedEarly("told to stop", hint=AGAIN)
        if self._until is not None and self._clock() >= self._until:
            raise StoppedEarly(f"--max-seconds {self._max_seconds:g} are over", hint=AGAIN)
