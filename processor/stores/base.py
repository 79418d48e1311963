"""What the processor needs of a store, and the values that pass between them.

Every write is a compare-and-set: it names what its author had read (`expected`), and the store refuses it
when the record is another by now. So a decision is never applied to a record it was not made for, even if
two processes own a key for a moment:

1. Process A reads stamp v1 of a key and pauses (garbage collection, a stopped machine).
2. The group gives the key to B, which writes v2.
3. A wakes and writes what it decided against v1. Without the comparison, v2 would be lost.

A store without conditional writes is guarded by a lease instead: see processor/lease.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from processor.stamp import Stamp
from processor.tables.base import View
from processor.vector import Vector

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Held:
    """A record's stamp as read; `token` is the adapter's own means of comparing.

    `vector` only in views that embed a text: a record whose text stays keeps it. None when it was changed by
    somebody else.
    """

    stamp: Stamp
    token: Any
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Write the whole record. `expected` None: only if there is none.

    Attributes:
        vector: of the view's text, in views that embed one.
        invalidates: names of other entries to drop in the same step; see `View.invalidates`.
    """

    key: str
    expected: Held | None
    stamp: Stamp
    body: Mapping[str, Any]
    vector: Vector | None = None
    invalidates: frozenset[str] = NOTHING


@dataclass(frozen=True, slots=True)
class Restamp:
    """The contents are right already: move the stamp only."""

    key: str
    expected: Held
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove the record. `expected` None: there was none, only `invalidates` is to be done."""

    key: str
    expected: Held | None
    invalidates: frozenset[str] = NOTHING


Write = Put | Restamp | Remove


@dataclass(frozen=True, slots=True)
class Applied:
    """The store holds the write."""


@dataclass(frozen=True, slots=True)
class LostRace:
    """The record is not the one that was expected: read and decide again."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The store refuses this record for good, with its reason."""

    reason: str


Outcome = Applied | LostRace | Refused


@dataclass(frozen=True, slots=True)
class Record:
    """A record as a reader of the store finds it; a vector that somebody changed is None."""

    stamp: Stamp
    body: Mapping[str, Any]
    vector: Vector | None = None


class Store(Protocol):
    """One derived store. Keys are row keys as text.

    Every method raises `Unavailable` when the store cannot answer now, and `Misconfigured` when it answers
    but is not as `ensure` would make it.
    """

    name: str

    def ensure(self, view: View) -> None:
        """Create what `view` needs, where it is missing."""
        ...

    def stamps(self, view: View, keys: Sequence[str]) -> dict[str, Held]:
        """The stamps of those keys that have a record; `UNREADABLE` where somebody else wrote it."""
        ...

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        """Apply writes of distinct keys; one outcome per write, in their order."""
        ...

    def read(self, view: View, keys: Sequence[str]) -> dict[str, Record]:
        """The records of those keys that have one."""
        ...

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
        """All keys with their stamps, in byte order of the key's UTF-8, in constant memory.

        Only those behind the key `after`, if it is given.

        A scan that cannot finish raises; it never just ends early.
        """
        ...

    def count(self, view: View) -> int:
        """How many records searches find: a hint, for people; it proves nothing."""
        ...

    def settle(self, view: View) -> None:
        """Make all earlier writes visible to `scan` and to searches."""
        ...

    def ping(self) -> None:
        """Raise `Unavailable` unless the store answers a query."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...
