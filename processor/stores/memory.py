"""A store in memory: passes the same suite as the real ones, so the program runs without servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from processor.stamp import Stamp
from processor.stores.base import Applied, Held, LostRace, Outcome, Put, Record, Remove, Write
from processor.tables.base import View


@dataclass(frozen=True, slots=True)
class _Entry:
    record: Record
    number: int


@dataclass
class MemoryStore:
    """Records by view and key."""

    name: str = "memory"
    _views: dict[str, dict[str, _Entry]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def ensure(self, view: View) -> None:
        """Create the view's room."""
        self._views.setdefault(view.name, {})

    def stamps(self, view: View, keys: Sequence[str]) -> dict[str, Held]:
        """The stamps of those keys that have a record."""
        entries = self._views[view.name]
        found = {key: entries[key] for key in keys if key in entries}
        return {
            key: Held(entry.record.stamp, entry.number, entry.record.vector) for key, entry in found.items()
        }

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        """Apply each write if its record is still the one expected."""
        return [self._apply_one(self._views[view.name], write) for write in writes]

    def _apply_one(self, entries: dict[str, _Entry], write: Write) -> Outcome:
        entry = entries.get(write.key)
        if isinstance(write, Remove) and entry is None:
            return Applied()
        expected = None if write.expected is None else write.expected.token
        if expected != (None if entry is None else entry.number):
            return LostRace()
        if isinstance(write, Remove):
            del entries[write.key]
            return Applied()
        if isinstance(write, Put):
            record = Record(write.stamp, dict(write.body), write.vector)
        else:
            assert entry is not None
            record = replace(entry.record, stamp=write.stamp)
        entries[write.key] = _Entry(record, next(self._numbers))
        return Applied()

    def read(self, view: View, keys: Sequence[str]) -> dict[str, Record]:
        """The records of those keys that have one."""
        entries = self._views[view.name]
        return {key: entries[key].record for key in keys if key in entries}

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
        """All keys behind `after` with their stamps, in byte order."""
        entries = self._views[view.name]
        for key in sorted(entries, key=str.encode):
            behind = after is None or key.encode() > after.encode()
            if behind and key in entries:  # others may have removed it meanwhile
                yield key, entries[key].record.stamp

    def count(self, view: View) -> int:
        """How many records there are."""
        return len(self._views[view.name])

    def settle(self, view: View) -> None:
        """Nothing to wait for."""

    def ping(self) -> None:
        """Always there."""

    def close(self) -> None:
        """Nothing to release."""
