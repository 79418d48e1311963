"""How long this process may be sure that no other owns its keys, for stores without conditional writes.

A process that was frozen beyond the session time-out has lost its partitions, and does not know it yet. What
it read before is old: without a compare-and-set in the store, writing it would bring back old state. So
before each call the lease is checked: the consumer was polled so recently that, even if the call takes all of
its time-out, the group cannot have given the keys away before it ends.

When partitions are taken away the lease ends at once, for the calls of the abandoned batch that still run.

A process frozen between the check and the sending is not caught; reconciliation heals what that leaves.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from processor.errors import Unavailable


class Lease:
    """Renewed at every poll. Thread-safe: one float is written by one thread and read by others."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`seconds` is the consumer's session time-out."""
        self._seconds = seconds
        self._clock = clock
        self._until = clock() + seconds

    def renew(self) -> None:
        """The consumer was polled just now."""
        self._until = self._clock() + self._seconds

    def end(self) -> None:
        """Partitions were taken away: nothing decided before may be written."""
        self._until = -math.inf

    def check(self, store: str, call_seconds: float) -> None:
        """Raise unless a call of at most `call_seconds` ends within the lease.

        Raises:
            Unavailable: waiting for the store polls the consumer, which renews the lease or shows that the
                partitions are lost.
        """
        if self._clock() + call_seconds > self._until:
            raise Unavailable(
                store, "the consumer was not polled lately: another process may own its keys by now"
            )
