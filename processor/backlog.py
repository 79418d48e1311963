"""Refreshes that could not be done yet: tried again between batches, without holding up anything."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from processor.change import Message
from processor.refresh import Refresh, merge
from processor.tables.base import Projection

AGAIN_SECONDS: Final = 0.05
"""A commit is visible a moment after it was logged: tens of microseconds, or the way to a standby."""
FULL: Final = 10_000
"""Rows; a few megabytes. Above it no new batch is taken."""


class Backlog:
    """By table and key. What asked for them counts as read, not as done."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[Projection, dict[str, Refresh]]] = {}
        self._due = 0.0

    @property
    def is_full(self) -> bool:
        """Whether it is to shrink before anything is added."""
        return sum(len(refreshes) for _, refreshes in self._tables.values()) >= FULL

    def messages(self) -> list[Message]:
        """What asked for them."""
        return [
            message
            for _, refreshes in self._tables.values()
            for refresh in refreshes.values()
            for message in refresh.messages
        ]

    def put(self, projection: Projection, refreshes: Mapping[str, Refresh]) -> None:
        """To be tried again soon."""
        if refreshes:
            _, held = self._tables.setdefault(projection.name, (projection, {}))
            held |= merge([*held.values(), *refreshes.values()])
            self._due = time.monotonic() + AGAIN_SECONDS

    def take(self) -> list[tuple[Projection, dict[str, Refresh]]]:
        """All of them, when it is time."""
        if not self._tables or time.monotonic() < self._due:
            return []
        taken = list(self._tables.values())
        self._tables.clear()
        return taken

    def clear(self) -> None:
        """Forget all: their partitions were taken away, and whoever has them reads the messages again."""
        self._tables.clear()
