"""What was counted of one table in one store, and what one run found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    """Of a finding."""

    MISSING = "missing"
    ORPHAN = "orphan"
    STALE = "stale"
    CORRUPT_STAMP = "corrupt_stamp"
    DEAD_LETTERED = "dead_lettered"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of one table in one store.

    Attributes:
        keys: of rows and records together.
        absent: rows without a record where readers cope without (a cache's).
        deep_checked: records of which every field was compared.
        seconds: of work, all attempts together.
    """

    scanned_source: int = 0
    scanned_store: int = 0
    keys: int = 0
    absent: int = 0
    missing: int = 0
    orphan: int = 0
    stale: int = 0
    corrupt_stamp: int = 0
    dead_lettered: int = 0
    unverified: int = 0
    repaired: int = 0
    deep_checked: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> int:
        """Records found right."""
        return max(self.keys - self.absent - self.drift - self.unverified, 0)

    @property
    def drift(self) -> int:
        """Records that were found wrong."""
        return self.missing + self.orphan + self.stale + self.corrupt_stamp + self.dead_lettered

    @property
    def left(self) -> int:
        """Of these, the ones that were not repaired and found right afterwards."""
        return self.drift - self.repaired

    def with_kinds(self, kinds: Iterable[Kind]) -> Counts:
        """With so many more findings."""
        more = Counter(kind.value for kind in kinds)
        return replace(self, **{name: getattr(self, name) + number for name, number in more.items()})


@dataclass(frozen=True, slots=True)
class Finding:
    """A record that is wrong, or could not be verified, since `first_seen`."""

    table: str
    store: str
    key: str
    kind: Kind
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class Repaired:
    """A finding that a run has healed, and found right afterwards."""

    table: str
    store: str
    key: str
    kind: Kind
    first_seen: datetime
    repaired_at: datetime
