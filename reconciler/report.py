"""What a run says at its end: the exit code, JSON, and a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rich.table import Table

from reconciler.counts import Counts, Finding, Kind, Repaired
from reconciler.errors import CannotVerify, StoppedEarly
from sql.positions import format_lsn

SCHEMA_VERSION: Final = 1
SHOWN: Final = 20
"""Findings that a terminal shows; JSON has all that are listed."""
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
        notes: what was not looked at, and why.
    """

    run_id: str
    as_of_lsn: int
    started_at: datetime
    parts: dict[str, dict[str, PartReport]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    repaired: list[Repaired] = field(default_factory=list)
    plans: dict[str, Plan] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def unfinished(self) -> bool:
        """Whether the next run goes on with this one."""
        return any(part.unfinished for stores in self.parts.values() for part in stores.values())

    @property
    def exit_code(self) -> int:
        """An unfinished run first, then drift, which somebody must look at; then what is not known."""
        parts = [part for stores in self.parts.values() for part in stores.values()]
        if any(part.exit_code == STOPPED for part in parts):
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
            "findings": [
                {**asdict(finding), "kind": finding.kind.value, "first_seen": finding.first_seen.isoformat()}
                for finding in self.findings
            ],
            "notes": self.notes,
        }

    def verdict(self) -> str:
        """One sentence."""
        position = f"as of {format_lsn(self.as_of_lsn)}"
        number = sum(part.counts.drift for stores in self.parts.values() for part in stores.values())
        wrong = "1 record is not" if number == 1 else f"{number:,} records are not"
        return {
            CONSISTENT: f"consistent {position}",
            DRIFT: f"drift {position}: {wrong} as PostgreSQL has it",
            UNVERIFIED: f"not verified {position}",
            STOPPED: "stopped before the end",
        }[self.exit_code]

    def table(self) -> Table:
        """Numbers per table and store."""
        grid = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("table", "store"):
            grid.add_column(heading, no_wrap=True)
        for heading in ("rows", "records", "ok", "deep", "seconds"):
            grid.add_column(heading, justify="right", no_wrap=True)
        grid.add_column("not ok")
        for table, stores in self.parts.items():
            for n, (store, part) in enumerate(stores.items()):
                grid.add_row("" if n else table, store, *_numbers(part.counts), _wrong(part.counts))
        return grid

    def reasons(self) -> list[str]:
        """Why parts did not come to their end."""
        return [
            f"{table} in {store}: {part.reason}" + (f" (next: {part.hint})" if part.hint else "")
            for table, stores in self.parts.items()
            for store, part in stores.items()
            if part.reason
        ]

    @property
    def _number(self) -> int:
        counts = [part.counts for stores in self.parts.values() for part in stores.values()]
        return sum(found.drift + found.unverified for found in counts)

    def lines(self, now: datetime) -> list[str]:
        """The oldest findings."""
        lines = [
            f"{_words(finding.kind)}: {finding.table} {finding.key} in {finding.store}, "
            f"since {_age(now - finding.first_seen)}"
            for finding in self.findings[:SHOWN]
        ]
        more = self._number - len(lines)
        return [*lines, f"and {more:,} more (--json)"] if lines and more > 0 else lines


def _part_json(part: PartReport) -> Mapping[str, Any]:
    counts = asdict(part.counts) | {"ok": part.counts.ok, "seconds": round(part.counts.seconds, 3)}
    del counts["keys"]
    return counts | {"reason": part.reason, "next": part.hint}


def _numbers(counts: Counts) -> list[str]:
    numbers = (counts.scanned_source, counts.scanned_store, counts.ok, counts.deep_checked)
    return [*(f"{number:,}" for number in numbers), f"{counts.seconds:.1f}"]


def _wrong(counts: Counts) -> str:
    numbers = {kind: getattr(counts, kind.value) for kind in Kind}
    return ", ".join(f"{number:,} {_words(kind)}" for kind, number in numbers.items() if number)


def _words(kind: Kind) -> str:
    return kind.value.replace("_", " ")


def _age(age: timedelta) -> str:
    """As a person says it."""
    seconds = max(int(age.total_seconds()), 0)
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return "now" if seconds < 5 else f"{seconds} s"


def now() -> datetime:
    """The present time, UTC."""
    return datetime.now(UTC)
