"""What a run says at its end: the exit code, and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from reconciler.counts import Counts, Finding, Repaired
from reconciler.differences import Difference, Place
from reconciler.errors import CannotVerify, StoppedEarly
from sql.positions import format_lsn

SCHEMA_VERSION: Final = 1
LISTED: Final = 10_000
"""Findings that a report names; all are in `ops.reconcile_findings`."""
CONSISTENT, DRIFT, REPAIRED = 0, 1, 2
UNVERIFIED, STOPPED = CannotVerify.exit_code, StoppedEarly.exit_code


@dataclass
class PartReport:
    """One table in one store; `reason`, `hint` and `exit_code` when it did not come to its end.

    `unfinished`: the next run of the same scope goes on with it.
    """

    counts: Counts
    reason: str | None = None
    hint: str | None = None
    exit_code: int = 0
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A table's repair.

    Attributes:
        applied: whether commands were sent; False: a dry run, or refused.
        writes: rows whose records are written anew, in one store or several.
        deletes: keys whose records are removed, since PostgreSQL has no row to show.
        refused: why nothing was done, or None.
    """

    applied: bool
    writes: int
    deletes: int
    refused: str | None = None


@dataclass
class Report:
    """One run.

    Attributes:
        started_at: of its first process.
        parts: table -> store -> what was found there.
        findings: what is wrong or could not be verified at the end, the oldest first.
        repaired: what was wrong, was healed, and was found right then.
        plans: table -> what a repair has done, or would do.
        differences: of some findings, those repaired included; not in JSON, since they are values of rows.
        notes: what was not looked at, and why.
    """

    run_id: str
    as_of_lsn: int
    started_at: datetime
    parts: dict[str, dict[str, PartReport]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    repaired: list[Repaired] = field(default_factory=list)
    plans: dict[str, Plan] = field(default_factory=dict)
    differences: dict[Place, list[Difference]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def unfinished(self) -> bool:
        """Whether the next run goes on with this one."""
        return any(part.unfinished for stores in self.parts.values() for part in stores.values())

    @property
    def refused(self) -> bool:
        """Whether a rail kept a table from being repaired."""
        return any(plan.refused for plan in self.plans.values())

    @property
    def exit_code(self) -> int:
        """An unfinished run first, then drift, which somebody must look at; then what is not known."""
        parts = [part for stores in self.parts.values() for part in stores.values()]
        if any(part.exit_code == STOPPED for part in parts) or self.refused:
            return STOPPED
        if any(part.counts.left for part in parts):
            return DRIFT
        if any(part.exit_code or part.counts.unverified for part in parts):
            return UNVERIFIED
        return REPAIRED if any(part.counts.repaired for part in parts) else CONSISTENT

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it; see docs/reconciliation.md."""
        return {
            "schema_version": SCHEMA_VERSION,
            "run_id": self.run_id,
            "as_of_lsn": format_lsn(self.as_of_lsn),
            "exit_code": self.exit_code,
            "tables": {
                table: {store: _part_json(part) for store, part in stores.items()}
                for table, stores in self.parts.items()
            },
            "findings": list(map(_json, self.findings)),
            "repaired": list(map(_json, self.repaired)),
            "plans": {table: asdict(plan) for table, plan in self.plans.items()},
            "notes": self.notes,
        }

    def verdict(self) -> str:
        """One sentence."""
        position = f"as of {format_lsn(self.as_of_lsn)}"
        parts = [part for stores in self.parts.values() for part in stores.values()]
        left, repaired = (sum(getattr(part.counts, name) for part in parts) for name in ("left", "repaired"))
        return {
            CONSISTENT: f"consistent {position}",
            DRIFT: f"drift {position}: {_are(left)} not as PostgreSQL has it",
            REPAIRED: f"repaired: {_are(repaired)} as PostgreSQL has it again, and all others {position}",
            UNVERIFIED: f"not verified {position}",
            STOPPED: (
                f"repair refused, see above; {_are(left)} not as PostgreSQL has it"
                if self.refused
                else "stopped before the end"
            ),
        }[self.exit_code]

    def reasons(self) -> list[str]:
        """Why parts did not come to their end."""
        return [
            f"{table} in {store}: {part.reason}" + (f" (next: {part.hint})" if part.hint else "")
            for table, stores in self.parts.items()
            for store, part in stores.items()
            if part.reason
        ]


def _are(number: int) -> str:
    return "1 record is" if number == 1 else f"{number:,} records are"


def _json(found: Finding | Repaired) -> dict[str, Any]:
    shown = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(found).items()
    }
    return shown | {"kind": found.kind.value}


def _part_json(part: PartReport) -> Mapping[str, Any]:
    counts = asdict(part.counts) | {"ok": part.counts.ok, "seconds": round(part.counts.seconds, 3)}
    del counts["keys"]
    return counts | {"reason": part.reason, "next": part.hint}
