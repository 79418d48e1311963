"""Runs of `aegis reconcile`, and what to look at when one finds something."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from processor.build import make_stores
from processor.compare import compare
from processor.settings import Settings
from processor.source import read_all
from processor.tables import projection_of
from tests.integration.conftest import aegis

CONSISTENT, DRIFT, REPAIRED, UNVERIFIED, REFUSED = 0, 1, 2, 3, 4
Place = tuple[str, str, str]
"""Table, store and key of a finding."""


@dataclass(frozen=True)
class Run:
    """A run that has ended; `report` is its JSON, empty where it could not begin."""

    deep: bool
    code: int
    seconds: float
    report: dict[str, Any]
    said: str

    @property
    def kinds(self) -> dict[Place, str]:
        """What it has found, and could verify."""
        return {place: kind for place, kind in self._findings("kind") if kind != "unverified"}

    @property
    def repaired(self) -> dict[Place, str]:
        """What it has healed, and found right then."""
        found = self.report.get("repaired", [])
        return {(one["table"], one["store"], one["key"]): one["kind"] for one in found}

    @property
    def first_seen(self) -> dict[Place, str]:
        """Since when."""
        return dict(self._findings("first_seen"))

    @property
    def unverified(self) -> int:
        """Records that nothing can be said of."""
        return sum(kind == "unverified" for _, kind in self._findings("kind"))

    def _findings(self, what: str) -> list[tuple[Place, str]]:
        found = self.report.get("findings", [])
        return [((projection_of(one["table"]).name, one["store"], one["key"]), one[what]) for one in found]

    def __str__(self) -> str:
        parts = [part for stores in self.report.get("tables", {}).values() for part in stores.values()]
        looked = sum(part["ok"] for part in parts)
        reasons = {part["reason"] for part in parts if part["reason"]} or (
            {self.said} if not parts else set()
        )
        kind = "deep" if self.deep else "plain"
        return (
            f"{kind} run: exit code {self.code} in {self.seconds:.0f} s, {looked} right, "
            f"{self.unverified} not verified{''.join(f'; {reason}' for reason in sorted(reasons))}"
        )


def check(folder: Path, deep: bool = False) -> Run:
    """One run, over everything."""
    return _run(folder, deep, "check")


def repair(folder: Path, *options: str) -> Run:
    """The same, every field compared, and what is wrong healed."""
    return _run(folder, True, "repair", "--apply", *options)


def _run(folder: Path, deep: bool, *command: str) -> Run:
    path = folder / "report.json"
    path.unlink(missing_ok=True)
    began = time.monotonic()
    patient = ("--fence-seconds", "300")  # after TRUNCATE and a kill, the processor has much to catch up
    done = aegis(
        "reconcile", *command, "--json", str(path), *patient, *(["--deep"] if deep else []), check=False
    )
    written = path.read_text() if path.exists() else ""
    # one that cannot begin verifies nothing and writes nothing
    codes = (CONSISTENT, DRIFT, UNVERIFIED, *((REPAIRED, REFUSED) if "repair" in command else ()))
    expected = codes if written else (UNVERIFIED,)
    assert done.returncode in expected, done.stdout + done.stderr
    report = json.loads(written or "{}")
    return Run(deep, done.returncode, time.monotonic() - began, report, done.stderr.strip())


def until_verified(folder: Path, deep: bool = False) -> Run:
    """Repeated while hot rows or a fence left something open."""
    for _ in range(5):
        run = check(folder, deep)
        if run.code != UNVERIFIED and not run.unverified:
            break
    return run


def look(settings: Settings, engine: sa.Engine, places: Iterable[Place]) -> str:
    """Rows beside records, as they are a moment later."""
    stores = {store.name: store for store in make_stores(settings)}
    lines = []
    for table, store, key in places:
        projection = projection_of(table)
        view = projection.view(store)
        record = stores[store].read(view, [key]).get(key)
        (column,) = (projection.table.c[name] for name in projection.key_columns)
        where = sa.cast(column, sa.Text) == key
        with engine.connect() as connection:
            row = read_all(connection, projection).get(key)
            system = sa.text(
                "xmin::text, xmax::text, pg_current_snapshot()::text, pg_current_wal_insert_lsn()"
            )
            hidden = connection.execute(sa.select(system).select_from(projection.table).where(where)).all()
        judged = compare(projection, view, row, record, settings.embedding.model_id)
        stamp = record and record.stamp
        lines.append(f"{table} {key} in {store}: {judged}\n  row {row} {hidden}\n  record {stamp} {record}")
    for adapter in stores.values():
        adapter.close()
    return "\n".join(lines)


def tell_codes(runs: Iterable[Run]) -> str:
    """How often each exit code came."""
    return ", ".join(f"{n} x {code}" for code, n in sorted(Counter(run.code for run in runs).items()))
