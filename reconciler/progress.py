"""Where a run is: which part, how far, and what it has counted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reconciler.counts import Counts


class Phase(StrEnum):
    """How far a part has come: ranges of keys, then whole rows, then suspects one by one."""

    BULK = "bulk"
    DEEP = "deep"
    RECHECK = "recheck"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Part:
    """One table in one store within a run."""

    run_id: str
    table: str
    store: str

    @property
    def names(self) -> dict[str, str]:
        """As in the columns that name it."""
        return {"run_id": self.run_id, "table_name": self.table, "store": self.store}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a part is; `after` is the last key of the phase's ranges."""

    phase: Phase
    after: str | None
    counts: Counts
