"""What runs have left in schema `ops`, for reports and for monitoring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from processor.database import connect
from processor.settings import PostgresSettings
from reconciler.counts import Finding, Kind, Repaired
from reconciler.statements import unspelled
from sql.models import ReconcileFinding, ReconcileRepair, ReconcileRun, ReconcileSuccess

DRIFT: Final = tuple(kind.value for kind in Kind if kind is not Kind.UNVERIFIED)


@dataclass(frozen=True, slots=True)
class Past:
    """A run that has ended: how, and how many records it found wrong, healed, and could not judge."""

    run_id: str
    started_at: datetime
    ended_at: datetime
    exit_code: int
    drift: int
    repaired: int
    unverified: int


@dataclass(frozen=True, slots=True)
class Success:
    """When a table was last found right in a store: all of it (`shard` 0/1), or one share of its keys."""

    table: str
    store: str
    shard: str
    at: datetime
    as_of_lsn: int
    run_id: str


class History:
    """Reads as the owner. Every method raises SourceError when PostgreSQL does not answer."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._url = settings.url()

    def findings(self, limit: int, run_id: str | None = None) -> list[Finding]:
        """What is known to be wrong, or what one run has found: the oldest first."""
        query = _select(ReconcileFinding, ReconcileFinding.first_seen)
        if run_id is not None:
            query = query.where(ReconcileFinding.run_id == run_id)
        return [Finding(*_named(row)) for row in self._read(query.limit(limit))]

    def repaired(self, run_id: str, limit: int) -> list[Repaired]:
        """What a run has healed: the oldest first."""
        query = _select(ReconcileRepair, ReconcileRepair.first_seen, ReconcileRepair.repaired_at)
        rows = self._read(query.where(ReconcileRepair.run_id == run_id).limit(limit))
        return [Repaired(*_named(row)) for row in rows]

    def past(self, limit: int) -> list[Past]:
        """The last runs that have ended with a report, the oldest first."""
        columns = (ReconcileRun.run_id, ReconcileRun.started_at, ReconcileRun.ended_at)
        query = sa.select(*columns, ReconcileRun.exit_code, ReconcileRun.report)
        query = query.where(ReconcileRun.report.is_not(None)).order_by(ReconcileRun.ended_at.desc())
        rows = self._read(query.limit(limit))
        return [
            Past(run_id, started, ended, code, *_totals(report))
            for run_id, started, ended, code, report in reversed(rows)
        ]

    def successes(self) -> list[Success]:
        """When each table and store was last found right, by share."""
        names = (ReconcileSuccess.table_name, ReconcileSuccess.store, ReconcileSuccess.shard)
        seen = (ReconcileSuccess.at, ReconcileSuccess.as_of_lsn, ReconcileSuccess.run_id)
        return [Success(*row) for row in self._read(sa.select(*names, *seen).order_by(*names))]

    def _read(self, query: sa.Select[*tuple[Any, ...]]) -> list[Any]:
        with connect(self._url) as connection:
            return list(connection.execute(query))


def _select(model: type[ReconcileFinding | ReconcileRepair], *times: Any) -> sa.Select[Any]:
    query = sa.select(model.table_name, model.store, model.key, model.kind, *times)
    return query.order_by(model.first_seen, model.table_name, model.store, sa.collate(model.key, "C"))


def _named(row: Iterable[Any]) -> Iterable[Any]:
    table, store, key, kind, *times = row
    return (table, store, unspelled(key), Kind(kind), *times)


def _totals(report: Mapping[str, Any]) -> tuple[int, int, int]:
    """(drift, repaired, unverified) of all tables and stores."""
    parts = [part for stores in report["tables"].values() for part in stores.values()]
    drift = sum(part[kind] for part in parts for kind in DRIFT)
    return drift, sum(part["repaired"] for part in parts), sum(part["unverified"] for part in parts)
