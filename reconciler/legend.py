"""What a report's words mean, and what to do about them; docs/reconciliation.md says it at length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.counts import Kind
from reconciler.report import CONSISTENT, DRIFT, REPAIRED, STOPPED, UNVERIFIED, Report


@dataclass(frozen=True, slots=True)
class Word:
    """A word for people; `tone`: the class that colours it; `sign`: colour is never alone."""

    word: str
    tone: str
    sign: str


@dataclass(frozen=True, slots=True)
class Meaning:
    """Of a kind of finding; `todo`: one sentence with the next command."""

    word: str
    means: str
    todo: str


OUTCOMES: Final[Mapping[int, Word]] = {
    CONSISTENT: Word("Consistent", "good", "✓"),
    DRIFT: Word("Drift", "bad", "✕"),
    REPAIRED: Word("Repaired", "healed", "↻"),
    UNVERIFIED: Word("Not verified", "open", "?"),
    STOPPED: Word("Stopped", "open", "‖"),
}
OTHERWISE: Final = Word("Failed", "bad", "!")

KINDS: Final[Mapping[Kind, Meaning]] = {
    Kind.MISSING: Meaning(
        "missing",
        "the row is to be shown, and there is no record",
        "aegis reconcile repair --apply writes it",
    ),
    Kind.ORPHAN: Meaning(
        "orphan",
        "there is a record, and no row that is to be shown",
        "aegis reconcile repair --apply removes it",
    ),
    Kind.STALE: Meaning(
        "stale",
        "the record shows something else than its row",
        "aegis reconcile repair --apply writes it anew",
    ),
    Kind.CORRUPT_STAMP: Meaning(
        "corrupt stamp",
        "the record's stamp lies beyond the log: it would refuse changes to come",
        "aegis reconcile repair --apply resets it; then find out who else writes to that store",
    ),
    Kind.DEAD_LETTERED: Meaning(
        "dead-lettered",
        "it differs, and an open letter says why; repair leaves it alone",
        "aegis dlq list names the cause: correct it, then aegis dlq replay",
    ),
    Kind.UNVERIFIED: Meaning(
        "unverified",
        "nothing can be said: the row changed in every round, or the part ended early",
        "the next run looks at it again; its age grows until one can tell",
    ),
}


def outcome(exit_code: int) -> Word:
    """Of a run, or of one table in one store."""
    return OUTCOMES.get(exit_code, OTHERWISE)


def sentence(report: Report) -> str:
    """What was found, what was healed, what is not known; all that is true, the worst first."""
    parts = [part for stores in report.parts.values() for part in stores.values()]
    left = sum(part.counts.left for part in parts)
    repaired = sum(part.counts.repaired for part in parts)
    unverified = sum(part.counts.unverified for part in parts)
    refused = ", ".join(table for table, plan in report.plans.items() if plan.refused)
    ended_early = sum(bool(part.exit_code) for part in parts)
    clauses = [
        refused and f"repair of {refused} was refused",
        left and f"{_count(left, 'record is not', 'records are not')} as PostgreSQL has it",
        repaired and f"{_count(repaired, 'record was', 'records were')} wrong, healed, and found right then",
        unverified and f"{_count(unverified, 'record', 'records')} could not be judged",
        ended_early and f"{ended_early:,} of {len(parts):,} parts did not come to their end",
    ]
    said = "; ".join(clause for clause in clauses if clause)
    return said or (
        "every record that was checked is as PostgreSQL has it" if parts else "nothing was checked"
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
