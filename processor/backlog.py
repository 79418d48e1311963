"""Refreshes that could not be done yet: tried again between batches, without holding up anything else."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from processor.offsets import Offsets
from processor.refresh import Refresh, first_of, merge
from processor.tables.base import Projection

log = logging.getLogger(__name__)
AGAIN_SECONDS: Final = 0.05
"""A commit is visible a moment after it was logged: tens of microseconds, or the way to a standby."""
LATER_SECONDS: Final = 5.0
"""At most, while nothing can be done: somebody's transaction is long."""
AT_ONCE: Final = 500
"""Rows that are tried between two batches."""
FULL_ROWS: Final = 10_000
FULL_BYTES: Final = 32 * 1024 * 1024
"""Of the records that ask for them. Above either, no new batch is taken."""


class Backlog:
    """By table and key. What asked for them counts as read, not as done."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[Projection, dict[str, Refresh]]] = {}
        self._delay = AGAIN_SECONDS
        self._due = 0.0

    @property
    def is_full(self) -> bool:
        """Whether it is to shrink before anything is added."""
        held = [refresh for _, refreshes in self._tables.values() for refresh in refreshes.values()]
        return len(held) >= FULL_ROWS or sum(refresh.size for refresh in held) >= FULL_BYTES

    def since(self) -> Offsets:
        """The first offset of each place that asks for something still to be done."""
        return first_of(
            refresh.since for _, refreshes in self._tables.values() for refresh in refreshes.values()
        )

    def put(self, projection: Projection, refreshes: Mapping[str, Refresh]) -> None:
        """To be tried again soon, after those that wait already."""
        if not refreshes:
            return
        soon = time.monotonic() + AGAIN_SECONDS
        waiting = any(held for _, held in self._tables.values())
        self._due = min(self._due, soon) if waiting else soon
        _, held = self._tables.setdefault(projection.name, (projection, {}))
        for key, refresh in refreshes.items():
            held[key] = merge([held.pop(key), refresh])[key] if key in held else refresh

    def withdraw(self, projection: Projection, keys: Iterable[str]) -> list[Refresh]:
        """Those of the keys that wait: they are tried at once, with what has come since."""
        _, held = self._tables.get(projection.name, (projection, {}))
        return [held.pop(key) for key in keys if key in held]

    def take(self) -> list[tuple[Projection, dict[str, Refresh]]]:
        """Some of them, when it is time."""
        if time.monotonic() < self._due:
            return []
        taken = []
        for projection, held in self._tables.values():
            some = {key: held[key] for key in islice(held, AT_ONCE)}
            for key in some:
                del held[key]
            if some:
                taken.append((projection, some))
        return taken

    def tried(self, taken: int, still_open: int) -> None:
        """How many of those taken could not be done: while none can, the next try waits longer."""
        if not taken:
            return
        self._delay = min(2 * self._delay, LATER_SECONDS) if still_open == taken else AGAIN_SECONDS
        self._due = time.monotonic() + self._delay
        if self._delay == LATER_SECONDS:
            log.warning("%d rows cannot be read again yet: a transaction that is at work is long", still_open)

    def clear(self) -> None:
        """Forget all: their partitions were taken away, and whoever has them reads the messages again."""
        self._tables.clear()
        self._delay = AGAIN_SECONDS
