"""What earlier runs have left in schema `ops`, for reports and for monitoring."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Past:
    """A run that has ended: how, and how many records it found wrong, healed, and could not judge."""

    run_id: str
    started_at: datetime
    ended_at: datetime
    exit_code: int
    drift: int
    repaired: int
    unverified: int


@dataclass(frozen=True, slots=True)
class Success:
    """When a table was last found right in a store: all of it (`shard` 0/1), or one share of its keys."""

    table: str
    store: str
    shard: str
    at: datetime
    as_of_lsn: int
    run_id: str
