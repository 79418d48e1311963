"""A run as one HTML page: no script, nothing loaded, readable on a phone and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from reconciler.counts import Counts, Finding, Kind, Repaired
from reconciler.differences import Difference, Differences
from reconciler.excerpt import KEY_SHOWN, Excerpt, contrast, shorten
from reconciler.freshness import last_successes
from reconciler.history import Past, Success
from reconciler.legend import KINDS, Word, outcome, sentence
from reconciler.plot import HEIGHT, draw, numbers
from reconciler.report import PartReport, Report
from sql.positions import format_lsn

SHOWN: Final = 200
"""Findings with their differences: at 10 fields of 240 characters a side, a page of a megabyte."""
KST: Final = timezone(timedelta(hours=9), "KST")


@dataclass(frozen=True, slots=True)
class Page:
    """What is shown.

    Attributes:
        successes: the newest of each table, store and share.
        past: runs that have ended, oldest first; this one is the last.
        differences: of the findings that were read field by field.
        written_at: when the run was over; ages are counted up to it.
    """

    report: Report
    successes: Sequence[Success]
    past: Sequence[Past]
    differences: Differences
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """One table in one store."""

    store: str
    part: PartReport
    outcome: Word
    numbers: dict[str, int]
    success: datetime | None


@dataclass(frozen=True, slots=True)
class Field:
    """A difference; a side that must not be shown is None."""

    name: str
    expected: Excerpt | None
    found: Excerpt | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A finding, and how long it was one; `fields` None: it was not read field by field."""

    finding: Finding | Repaired
    age: timedelta
    fields: Sequence[Field] | None


def render(page: Page) -> str:
    """The page, in characters that UTF-8 can hold."""
    report = page.report
    parts = [part for stores in report.parts.values() for part in stores.values()]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            report=report,
            outcome=outcome(report.exit_code),
            sentence=sentence(report),
            as_of=format_lsn(report.as_of_lsn),
            written_at=page.written_at,
            took=page.written_at - report.started_at,
            tables=_tables(page),
            deep_checked=sum(part.counts.deep_checked for part in parts),
            unverified=sum(part.counts.unverified for part in parts),
            entries=_entries(page, report.findings),
            found=max(sum(part.counts.left + part.counts.unverified for part in parts), len(report.findings)),
            repaired=_entries(page, report.repaired),
            healed=max(sum(part.counts.repaired for part in parts), len(report.repaired)),
            plot=draw(page.past),
            height=HEIGHT,
            kinds=KINDS,
        )
    )


def _tables(page: Page) -> dict[str, list[Row]]:
    successes = last_successes(page.successes)
    return {
        table: [
            Row(
                store, part, _outcome(page.report, part), _numbers(part.counts), successes.get((table, store))
            )
            for store, part in stores.items()
        ]
        for table, stores in page.report.parts.items()
    }


def _outcome(report: Report, part: PartReport) -> Word:
    """By the same order as the whole run's."""
    return outcome(replace(report, parts={"": {"": part}}, plans={}).exit_code)


def _numbers(counts: Counts) -> dict[str, int]:
    """In the order of the columns."""
    kinds = {kind.value: getattr(counts, kind.value) for kind in Kind}
    return {
        "scanned_source": counts.scanned_source,
        "scanned_store": counts.scanned_store,
        "ok": counts.ok,
        **kinds,
        "repaired": counts.repaired,
        "absent": counts.absent,
        "deep_checked": counts.deep_checked,
    }


def _entries(page: Page, findings: Sequence[Finding | Repaired]) -> list[Entry]:
    return [
        Entry(
            finding,
            (finding.repaired_at if isinstance(finding, Repaired) else page.written_at) - finding.first_seen,
            _fields(page.differences.get((finding.table, finding.store, finding.key))),
        )
        for finding in findings[:SHOWN]
    ]


def _fields(differences: Sequence[Difference] | None) -> list[Field] | None:
    if differences is None:
        return None
    return [Field(difference.field, *_sides(difference)) for difference in differences]


def _sides(difference: Difference) -> tuple[Excerpt | None, Excerpt | None]:
    expected, found = contrast(difference.expected or "", difference.found or "")
    return (
        None if difference.expected is None else expected,
        None if difference.found is None else found,
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reconciler", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": lambda value: f"{value:,}",
        "key": lambda text: shorten(text, KEY_SHOWN),
        "text": shorten,
        "utc": lambda at: f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "kst": lambda at: f"{at.astimezone(KST):%Y-%m-%d %H:%M:%S} KST",
        "minute": lambda at: f"{at.astimezone(KST):%Y-%m-%d %H:%M}",
        "day": lambda at: f"{at.astimezone(KST):%m-%d}",
        "iso": lambda at: at.astimezone(UTC).isoformat(timespec="seconds"),
        "span": _span,
        "stacked": numbers,
        "outcome": outcome,
    }
    return environment


def _span(span: timedelta) -> str:
    """In its two greatest units: `3 d 4 h`."""
    left = max(int(span.total_seconds()), 0)
    words: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count or (unit == "s" and not words):
            words.append(f"{count} {unit}")
        elif words:
            break
    return " ".join(words[:2])
