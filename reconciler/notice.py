"""What people are told of a run: enough to know whether to get up, keys but never values of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from processor.errors import ConfigurationError
from processor.notify import Notice
from reconciler.counts import Counts, Kind
from reconciler.errors import Overlapping
from reconciler.excerpt import one_line
from reconciler.legend import KINDS, sentence
from reconciler.report import CONSISTENT, DRIFT, REPAIRED, STOPPED, UNVERIFIED, Report
from sql.positions import format_lsn

KEYS: Final = 10
"""Findings that are named. Services cut or refuse long texts: this and `PARTS` keep it below 4,000 letters,
as a test tries."""
PARTS: Final = 20
"""Tables in stores that are counted."""

_TITLES: Final = {
    DRIFT: "the stores differ from PostgreSQL",
    REPAIRED: "drift was found, repaired and verified",
    UNVERIFIED: "the stores could not be verified",
    STOPPED: "reconciliation stopped before its end",
    Overlapping.exit_code: "reconciliation did not run: another run is at work",
    ConfigurationError.exit_code: "reconciliation did not run: its configuration is wrong",
}
_NEXT: Final = {
    DRIFT: "aegis trace TABLE KEY shows row and records field by field",
    REPAIRED: "nothing; if it happens again, find out who else writes to that store",
    UNVERIFIED: "cure the cause, then run it again; nothing is said of drift",
    STOPPED: "run it again: it goes on where it stopped",
    Overlapping.exit_code: "aegis reconcile status shows when a run ended last",
    ConfigurationError.exit_code: "correct the setting or option; docs/settings.md has all settings",
}


def notice_of(report: Report | None, exit_code: int, error: str | None = None) -> Notice | None:
    """The notice about a run that ended with `exit_code`; None when there is nothing to tell.

    Args:
        report: of the run, if it came so far as to have one.
        error: what ended it otherwise. Not told of an internal error, whose message may hold anything.
    """
    if exit_code == CONSISTENT:
        return None
    title, todo = _TITLES.get(exit_code), _NEXT.get(exit_code, "a defect: the log of the run has the trace")
    if report is not None and report.refused:
        title, todo = "a repair was refused", "aegis status, before anything is allowed"
    elif report is not None and exit_code == STOPPED and not report.unfinished:
        title, todo = "too much differs", "aegis status: was a store lost?"
    lines = [error] if error and title else []
    if report is not None:
        lines += _told(report, exit_code)
    lines.append(f"next: {todo}")
    return Notice(
        title=f"Aegis: {title or 'reconciliation failed'}",
        body="\n".join(lines),
        failed=exit_code != REPAIRED,
    )


def _told(report: Report, exit_code: int) -> Iterator[str]:
    yield f"{sentence(report)} (run {report.run_id}, as of {format_lsn(report.as_of_lsn)})"
    yield from _counted(report)
    yield from _first(report.reasons(), PARTS)
    plans = report.plans.items()
    yield from (f"{table} was not repaired: {plan.refused}" for table, plan in plans if plan.refused)
    found = report.repaired if exit_code == REPAIRED else report.findings
    yield from _first(
        [f"{KINDS[one.kind].word}: {one.table} {one_line(one.key)} in {one.store}" for one in found], KEYS
    )
    if exit_code == DRIFT:
        kinds = dict.fromkeys(finding.kind for finding in report.findings)
        yield from (f"{KINDS[kind].word}: {KINDS[kind].todo}" for kind in kinds)


def _counted(report: Report) -> Iterator[str]:
    parts = [
        f"{table} in {store}: {numbers}"
        for table, stores in report.parts.items()
        for store, part in stores.items()
        if (numbers := _numbers(part.counts))
    ]
    yield from _first(parts, PARTS)


def _numbers(counts: Counts) -> str:
    numbers = [(getattr(counts, kind.value), KINDS[kind].word) for kind in Kind]
    numbers.append((counts.repaired, "of these repaired"))
    return ", ".join(f"{number:,} {word}" for number, word in numbers if number)


def _first(lines: list[str], limit: int) -> list[str]:
    more = len(lines) - limit
    return [*lines[:limit], f"and {more:,} more"] if more > 0 else lines
