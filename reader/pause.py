"""After a failure a server is left alone for a while: readers go on without it, and wait for no time-out."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pause:
    """Ends by itself; what is tried then either works or begins the next one."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until = clock()

    @property
    def is_on(self) -> bool:
        """Whether the server is to be left alone now."""
        return self._clock() < self._until

    def begin(self) -> None:
        """It has failed."""
        self._until = self._clock() + self._seconds
