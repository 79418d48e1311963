"""Where each partition is to go on, whatever the client believes. Pure.

The client has an idea of its own of how far it has been read, and goes by it when a paused partition is
resumed. In one of some twenty soaks, on a crowded machine, it was that of the assignment before:

1. We have read 49587 to 49640 ahead; done and committed is all before 49587.
2. A process joins: all partitions are taken away, ours come back, to begin at 49587.
3. The client delivers 49641. What follows is done and committed: 54 changes are in no store.

So after every assignment and every pause the client is told where to go on, and what it delivers before
that does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from processor.change import Message
from processor.offsets import Offsets


class Positions:
    """Of one assignment."""

    def __init__(self, starts: Mapping[tuple[str, int], int] | None = None) -> None:
        """`starts`: where the partitions begin."""
        self._next: Offsets = dict(starts or {})
        self._doubted = set(self._next)

    def doubt(self) -> None:
        """The client may go on anywhere now."""
        self._doubted = set(self._next)

    def doubted(self) -> Offsets:
        """Where it is still to be told to go on."""
        return {place: self._next[place] for place in self._doubted}

    def told(self, place: tuple[str, int]) -> None:
        """The client goes on there."""
        self._doubted.discard(place)

    def accept(self, messages: Iterable[Message]) -> list[Message]:
        """Those that count."""
        accepted = []
        for message in messages:
            place = (message.topic, message.partition)
            if place not in self._doubted:
                self._next[place] = message.offset + 1
                accepted.append(message)
        return accepted
