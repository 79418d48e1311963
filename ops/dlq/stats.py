"""Counts of letters: by table, stage, code, store and age. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from processor.dead_letters import DeadLetter

HOUR_MS: Final = 3_600_000
AGES: Final = (("under 1 hour", HOUR_MS), ("under 1 day", 24 * HOUR_MS), ("under 7 days", 7 * 24 * HOUR_MS))
OLDEST: Final = "7 days and more"
DIMENSIONS: Final = ("table", "stage", "code", "store", "age")
NONE: Final = "(none)"
"""Of letters that no store refused, or that lack a header."""


def age_of(letter: DeadLetter, now_ms: int) -> str:
    """How long ago the row first failed, in a few classes."""
    age = now_ms - letter.first_failed_at
    return next((name for name, limit in AGES if age < limit), OLDEST)


@dataclass
class Stats:
    """Letters by dimension, value and whether they are open."""

    counts: Counter[tuple[str, str, bool]] = field(default_factory=Counter)
    open: int = 0
    replayed: int = 0

    def add(self, letters: Iterable[DeadLetter], is_open: bool, now_ms: int) -> None:
        """Count more letters."""
        for letter in letters:
            values = (letter.table, letter.stage, letter.code, letter.store, age_of(letter, now_ms))
            for dimension, value in zip(DIMENSIONS, values, strict=True):
                self.counts[dimension, value or NONE, is_open] += 1
            self.open += is_open
            self.replayed += not is_open

    def rows(self) -> Iterator[tuple[str, str, int, int]]:
        """(dimension, value, open, replayed); ages from young to old, all else from many to few."""
        ages = [name for name, _ in AGES]
        for dimension in DIMENSIONS:
            values = {value for found, value, _ in self.counts if found == dimension}
            pairs = [(v, self.counts[dimension, v, True], self.counts[dimension, v, False]) for v in values]
            if dimension == "age":
                pairs.sort(key=lambda pair: ages.index(pair[0]) if pair[0] in ages else len(ages))
            else:
                pairs.sort(key=lambda pair: (-pair[1] - pair[2], pair[0]))
            yield from ((dimension, *pair) for pair in pairs)

    def as_json(self) -> dict[str, Any]:
        """As scripts see it."""
        by: dict[str, dict[str, dict[str, int]]] = {dimension: {} for dimension in DIMENSIONS}
        for dimension, value, still_open, replayed in self.rows():
            by[dimension][value] = {"open": still_open, "replayed": replayed}
        return {"open": self.open, "replayed": self.replayed, "by": by}
