"""`aegis reconcile status`: whether the stores are known to be right, and since when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rich.table import Table

from processor.output import out, print_json
from processor.settings import load_settings
from processor.tables import PROJECTIONS
from reconciler.counts import Finding, Kind
from reconciler.freshness import last_successes
from reconciler.history import History, Past
from reconciler.report import CONSISTENT, DRIFT, UNVERIFIED
from reconciler.terminal import age as age_of

RUNS: Final = 10
FINDINGS: Final = 100_000
"""That are counted at the most."""


@dataclass(frozen=True)
class Standing:
    """How things stand.

    Attributes:
        successes: (table, store) -> when all of it was last found right; None: never.
        findings: what is known to be wrong, or could not be verified, the oldest first.
        past: the last runs, oldest first.
        max_age: an older success is worth nothing.
    """

    successes: Mapping[tuple[str, str], datetime | None]
    findings: Sequence[Finding]
    past: Sequence[Past]
    now: datetime
    max_age: timedelta

    @property
    def drift(self) -> list[Finding]:
        """What is known to be wrong."""
        return [finding for finding in self.findings if finding.kind is not Kind.UNVERIFIED]

    @property
    def old(self) -> list[tuple[str, str]]:
        """Tables and stores that were not found right lately."""
        return [place for place, at in self.successes.items() if at is None or self.now - at > self.max_age]

    @property
    def exit_code(self) -> int:
        """0 right and lately so, 1 drift is known, 3 nobody knows."""
        return DRIFT if self.drift else UNVERIFIED if self.old else CONSISTENT

    def verdict(self) -> str:
        """One sentence."""
        hours = f"{self.max_age.total_seconds() / 3600:g} h"
        if self.drift:
            since = age_of(self.now - self.drift[0].first_seen)
            number = len(self.drift)
            records = "1 record is" if number == 1 else f"{number:,} records are"
            return f"drift: {records} known to be wrong, the first since {since} (aegis reconcile repair)"
        if self.old:
            places = ", ".join(f"{table} in {store}" for table, store in self.old)
            return f"not found right within {hours}: {places} (aegis reconcile check)"
        return f"right: every table was found so in every store within {hours}"


def show(max_age: timedelta, as_json: bool) -> int:
    """Print how things stand; returns the exit code.

    Raises:
        SourceError, ConfigurationError: PostgreSQL cannot be asked.
    """
    standing = _read(max_age)
    if as_json:
        print_json(_json(standing))
    else:
        _print(standing)
    return standing.exit_code


def _read(max_age: timedelta) -> Standing:
    history = History(load_settings().postgres)
    found = last_successes(history.successes())
    places = [(table.name, view.store) for table in PROJECTIONS for view in table.views]
    return Standing(
        {place: found.get(place) for place in places},
        history.findings(FINDINGS),
        history.past(RUNS),
        datetime.now(UTC),
        max_age,
    )


def _json(standing: Standing) -> dict[str, Any]:
    counts = Counter((finding.table, finding.store, finding.kind.value) for finding in standing.findings)
    tables: dict[str, dict[str, Any]] = {}
    for (table, store), at in standing.successes.items():
        tables.setdefault(table, {})[store] = {
            "last_success": at and at.isoformat(),
            "age_seconds": at and round((standing.now - at).total_seconds()),
            "findings": {kind.value: counts[table, store, kind.value] for kind in Kind},
        }
    return {
        "exit_code": standing.exit_code,
        "verdict": standing.verdict(),
        "tables": tables,
        "runs": [
            {
                "run_id": run.run_id,
                "started_at": run.started_at.isoformat(),
                "ended_at": run.ended_at.isoformat(),
                "exit_code": run.exit_code,
                "drift": run.drift,
                "repaired": run.repaired,
                "unverified": run.unverified,
            }
            for run in standing.past
        ],
    }


def _print(standing: Standing) -> None:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("table", "store", "found right", "age", "wrong", "not verified"):
        grid.add_column(heading, no_wrap=True)
    counts = Counter(
        (finding.table, finding.store, finding.kind is Kind.UNVERIFIED) for finding in standing.findings
    )
    for (table, store), at in standing.successes.items():
        when = ("never", "") if at is None else (_time(at), age_of(standing.now - at))
        numbers = (str(counts[table, store, kind] or "") for kind in (False, True))
        grid.add_row(table, store, *when, *numbers)
    out.print(grid)
    if standing.past:
        out.print(_runs(standing.past))
    out.print(standing.verdict(), highlight=False, markup=False, style="bold")


def _runs(past: Sequence[Past]) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("last runs", "exit code", "wrong", "repaired", "not verified"):
        grid.add_column(heading, no_wrap=True, justify="left" if heading == "last runs" else "right")
    for run in past:
        grid.add_row(
            _time(run.started_at), *map(str, (run.exit_code, run.drift, run.repaired, run.unverified))
        )
    return grid


def _time(at: datetime) -> str:
    """Of this machine's clock."""
    return f"{at.astimezone():%Y-%m-%d %H:%M}"
