"""A store's records range by range, in the order of keys, in constant memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from processor.stamp import Stamp
from processor.stores.base import Store
from processor.tables.base import View

MAX_AGE_SECONDS: Final = 60.0
"""Some stores show a scan what they held at its beginning. The older that is, the more rows have changed
since, and each of those is looked at once more: at 100 changes a second, 6,000 a minute."""
OPENINGS: Final = 10
"""But a scan lives this many times as long as it took to begin: a cache gathers all its keys first."""


class RecordStream:
    """One walk through a view; a scan that has grown old is begun anew behind the last key."""

    def __init__(
        self, store: Store, view: View, after: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._view, self._clock = store, view, clock
        self._last = after
        self._scan: Iterator[tuple[str, Stamp]] | None = None
        self._next: tuple[str, Stamp] | None = None
        self._until = 0.0

    def upto(self, key: str | None) -> Iterator[tuple[str, Stamp]]:
        """The next records, up to that key; to the end for None.

        Raises:
            Unavailable, Misconfigured: the scan cannot go on; it never just ends.
        """
        if self._scan is None or self._clock() > self._until:
            self._begin()
        assert self._scan is not None
        while self._next is not None and (key is None or self._next[0] <= key):
            yield self._next
            self._next = next(self._scan, None)
        self._last = key  # what appears before it later is another run's

    def _begin(self) -> None:
        started = self._clock()
        self._store.settle(self._view)
        self._scan = self._store.scan(self._view, self._last)
        self._next = next(self._scan, None)
        now = self._clock()
        self._until = now + max(MAX_AGE_SECONDS, OPENINGS * (now - started))
