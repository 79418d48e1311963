"""A run for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from rich.table import Table

from reconciler.counts import Counts, Kind
from reconciler.excerpt import one_line
from reconciler.legend import KINDS
from reconciler.report import Plan, Report

SHOWN: Final = 20
"""Findings that are shown; JSON has all that are listed."""


def table_of(report: Report) -> Table:
    """Numbers per table and store."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("table", "store"):
        grid.add_column(heading, no_wrap=True)
    for heading in ("rows", "records", "ok", "deep", "seconds"):
        grid.add_column(heading, justify="right", no_wrap=True)
    grid.add_column("not ok")
    for table, stores in report.parts.items():
        for n, (store, part) in enumerate(stores.items()):
            grid.add_row("" if n else table, store, *_numbers(part.counts), _wrong(part.counts))
    return grid


def lines_of(report: Report, now: datetime) -> list[str]:
    """Below the table: what was repaired, why parts did not come to their end, the oldest findings, notes."""
    kinds = dict.fromkeys(finding.kind for finding in report.findings)
    return [
        *_plans(report),
        *_repaired(report),
        *report.reasons(),
        *_findings(report, now),
        *(f"next, {KINDS[kind].word}: {KINDS[kind].todo}" for kind in kinds),
        *report.notes,
    ]


def _plans(report: Report) -> Iterator[str]:
    for table, plan in report.plans.items():
        if plan.refused:
            yield f"{table}: not repaired: {plan.refused}"
        else:
            yield f"{table}: {_what(plan)}{'' if plan.applied else ' (--apply to do it)'}"


def _what(plan: Plan) -> str:
    would = "" if plan.applied else "would be "
    rows, keys = (
        f"{n:,} {word}{'' if n == 1 else 's'}" for n, word in ((plan.writes, "row"), (plan.deletes, "record"))
    )
    return f"{rows} {would}read again, {keys} {would}removed"


def _repaired(report: Report) -> list[str]:
    lines = [
        f"repaired: {one.table} {one_line(one.key)} in {one.store}, was {KINDS[one.kind].word}"
        for one in report.repaired[:SHOWN]
    ]
    more = len(report.repaired) - len(lines)
    return [*lines, f"and {more:,} more (--json)"] if more > 0 else lines


def _findings(report: Report, now: datetime) -> list[str]:
    lines = [
        f"{KINDS[finding.kind].word}: {finding.table} {one_line(finding.key)} in {finding.store}, "
        f"since {age(now - finding.first_seen)}"
        for finding in report.findings[:SHOWN]
    ]
    counts = [part.counts for stores in report.parts.values() for part in stores.values()]
    more = sum(found.left + found.unverified for found in counts) - len(lines)
    return [*lines, f"and {more:,} more (--json)"] if lines and more > 0 else lines


def _numbers(counts: Counts) -> list[str]:
    numbers = (counts.scanned_source, counts.scanned_store, counts.ok, counts.deep_checked)
    return [*(f"{number:,}" for number in numbers), f"{counts.seconds:.1f}"]


def _wrong(counts: Counts) -> str:
    numbers = {KINDS[kind].word: getattr(counts, kind.value) for kind in Kind} | {"repaired": counts.repaired}
    return ", ".join(f"{number:,} {name}" for name, number in numbers.items() if number)


def age(age: timedelta) -> str:
    """As a person says it."""
    seconds = max(int(age.total_seconds()), 0)
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return "now" if seconds < 5 else f"{seconds} s"
