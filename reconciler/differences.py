"""What differs between a row and its record, field by field, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: as PostgreSQL has it, and as the store shows it; None where values must not be shown."""

    field: str
    expected: str | None
    found: str | None


Place = tuple[str, str, str]
"""Table, store, key."""
Differences = Mapping[Place, Sequence[Difference]]
