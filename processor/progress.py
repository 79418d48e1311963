"""How far this process has come on the partitions that it owns: what is done, what may be stored. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from processor.change import Message
from processor.offsets import Offsets


class Progress:
    """Of one assignment. Messages of other partitions are another's: they were taken away from us."""

    def __init__(self, starts: Mapping[tuple[str, int], int] | None = None) -> None:
        """`starts` are committed offsets."""
        self._done: Offsets = dict(starts or {})
        self._stored: Offsets = dict(starts or {})

    def done(self, messages: Iterable[Message]) -> None:
        """They need not be read again."""
        for message in messages:
            place = (message.topic, message.partition)
            if place in self._done:
                self._done[place] = max(self._done[place], message.offset + 1)

    def until(self, place: tuple[str, int]) -> int:
        """The offset before which all is done; 0 where it is not ours."""
        return self._done.get(place, 0)

    def to_store(self, still_open: Mapping[tuple[str, int], int]) -> Offsets:
        """The offsets that moved, none beyond the first of its place that is still open."""
        until = {place: min(offset, still_open.get(place, offset)) for place, offset in self._done.items()}
        return {place: offset for place, offset in until.items() if self._stored[place] != offset}

    def stored(self, offsets: Offsets) -> None:
        """The client has taken these."""
        self._stored |= offsets

    def any_stored(self) -> Offsets:
        """One place with what is stored of it; none where nothing is ours."""
        return dict(list(self._stored.items())[:1])
