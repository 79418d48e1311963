"""A run: one table after the other, all stores at once: compared, and healed where that is asked for."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from typing import Final, Protocol

from processor.build import make_stores
from processor.database import connect
from processor.delivery import Delivery
from processor.errors import AegisError, ConfigurationError
from processor.settings import Settings
from processor.tables import topic_of
from processor.tables.base import Projection, View
from reconciler.budget import Budget
from reconciler.counts import Kind
from reconciler.differences import Difference, Place, explain
from reconciler.errors import CannotVerify, StoppedEarly, TooDifferent
from reconciler.fence import Fence, Pipe
from reconciler.history import History
from reconciler.identity import read_identity
from reconciler.letters import OpenLetters
from reconciler.part import Options, PartCheck, Tools
from reconciler.progress import Part
from reconciler.reembed import Reembedder
from reconciler.repair import Rails, Repair
from reconciler.report import LISTED, UNVERIFIED, PartReport, Plan, Report
from reconciler.shard import Shard
from reconciler.source import Source
from reconciler.state import Run, State

SAMPLE: Final = 16
"""About so many texts of a table are embedded anew by a deep check: a second or two of CPU."""
EXPLAINED: Final = 50
"""Findings of a table and store that are shown field by field."""
DIFFERING: Final = (Kind.STALE, Kind.CORRUPT_STAMP, Kind.DEAD_LETTERED)
STATE_VERSION: Final = 2
"""Raised when what is remembered of a run means something else."""


@dataclass(frozen=True)
class Request:
    """What to look at, and how.

    Attributes:
        stores: None for all.
        deep_every: compare every field of one key in so many, another share each run; 1: all; None: none.
        fence_seconds: how long one fence may take.
        fresh: do not go on with a run that stopped early.
        rails: what a repair may do; None: only compare.
    """

    tables: Sequence[Projection]
    stores: frozenset[str] | None = None
    shard: Shard = Shard()  # noqa: RUF009  frozen
    deep_every: int | None = None
    max_seconds: float | None = None
    rows_per_second: float | None = None
    fence_seconds: float = 60
    max_suspects: int = 100_000
    fresh: bool = False
    rails: Rails | None = None


class Watcher(Protocol):
    """Who is told how a run goes on."""

    def begin(self, table: str, rows: int | None) -> None:
        """The next table; about so many rows, all stores together."""
        ...

    def seen(self, rows: int) -> None:
        """So many rows more; called by several threads."""
        ...


class Check:
    """Everything that a run needs; `captured`: all tables with a projection, those not asked for included."""

    def __init__(
        self,
        settings: Settings,
        request: Request,
        captured: Iterable[Projection],
        stop: Event,
        watcher: Watcher,
        pipe: Pipe | None = None,
    ) -> None:
        self._settings, self._request, self._watcher, self._stop = settings, request, watcher, stop
        if not any(self._views(projection) for projection in request.tables):
            raise ConfigurationError("none of these stores shows any of these tables", hint="aegis status")
        self._stores = {store.name: store for store in make_stores(settings)}
        self._reembedder = Reembedder(settings.embedding)
        self._tools = Tools(
            state=State(settings.postgres),
            source=Source(settings.postgres),
            fence=Fence(settings, captured, request.fence_seconds, pipe),
            budget=Budget(stop, request.max_seconds, request.rows_per_second),
            letters=OpenLetters(settings),
            seen=watcher.seen,
            model=settings.embedding.model_id,
            reembed=self._reembedder,
        )

    def run(self) -> Report:
        """Compare.

        Raises:
            CannotVerify: positions mean nothing now, or the stores lag too far behind; nothing was compared.
            Overlapping: another run is at work.
            SourceError, ConfigurationError: PostgreSQL or Kafka cannot be used.
        """
        tools, request = self._tools, self._request
        with tools.state.locked(request.shard):
            tools.fence.check()
            with tools.source.reading() as reader:
                end = reader.now(self._settings.processor.epoch).end
            # what the stores lag behind is no difference
            tools.fence.wait(filter(self._views, request.tables), end)
            run = tools.state.begin(self._scope(), request.shard, end, request.fresh)
            report = Report(run.run_id, run.as_of_lsn, run.started_at)
            for projection in request.tables:
                if views := self._views(projection):
                    self._do_table(report, run, projection, views)
                if report.unfinished:
                    break
            report.notes = self._notes(run)
            if not report.unfinished:
                tools.state.end(run, report.exit_code, report.to_json())
            history = History(self._settings.postgres)
            report.findings = history.findings(LISTED, run.run_id)
            report.repaired = history.repaired(run.run_id, LISTED)
            return report

    def close(self) -> None:
        """Release connections."""
        self._tools.fence.close()
        self._tools.state.close()
        self._reembedder.close()
        for store in self._stores.values():
            store.close()

    def _views(self, projection: Projection) -> list[View]:
        wanted = self._request.stores
        return [view for view in projection.views if wanted is None or view.store in wanted]

    def _do_table(self, report: Report, run: Run, projection: Projection, views: Sequence[View]) -> None:
        parts = self._compare(run, projection, views)
        for part in parts:
            report.differences |= self._differences(projection, part)
        rails = self._request.rails
        if rails is not None and (plan := self._repair(projection, parts, rails)):
            report.plans[projection.name] = plan
        for part in parts:
            counts = part.progress.counts
            if part.error is None and not (counts.left or counts.unverified):
                self._tools.state.succeed(part.part, self._request.shard, run.as_of_lsn)
        report.parts[projection.name] = {part.view.store: self._report(part) for part in parts}

    def _compare(self, run: Run, projection: Projection, views: Sequence[View]) -> list[PartCheck]:
        """All stores at once: most of the time is theirs, and waiting for fences."""
        with self._tools.source.reading() as reader:
            rows = reader.estimate(projection)
        self._watcher.begin(projection.name, None if rows is None else rows * len(views))
        options = self._options(run, rows or 0)
        with ThreadPoolExecutor(len(views)) as threads:
            return list(threads.map(lambda view: self._check(run, projection, view, options), views))

    def _check(self, run: Run, projection: Projection, view: View, options: Options) -> PartCheck:
        """One part, whatever becomes of it."""
        part = Part(run.run_id, projection.name, view.store)
        progress = self._tools.state.open_part(part, options.shard)
        self._tools.seen(progress.counts.scanned_source)
        work = PartCheck(self._tools, part, progress, projection, view, self._stores[view.store], options)
        work.attempt(work.compare)
        return work

    def _differences(self, projection: Projection, part: PartCheck) -> dict[Place, list[Difference]]:
        """Of the first few, before they are healed."""
        store = self._stores[part.view.store]
        try:
            keys = list(self._tools.state.findings(part.part, DIFFERING))[:EXPLAINED]
            found = explain(self._tools.source, store, projection, part.view, keys, self._tools.model)
        except AegisError:  # it is for people; the part tells what is away
            return {}
        return {(projection.name, store.name, key): differences for key, differences in found.items()}

    def _repair(self, projection: Projection, parts: Sequence[PartCheck], rails: Rails) -> Plan | None:
        repair = Repair(
            projection,
            topic_of(self._settings.kafka.topic_prefix, projection),
            self._tools,
            Delivery(self._settings.kafka).send,
            self._check_source,
            rails,
            Budget(self._stop, None, rails.rate),
        )
        try:
            repair.run(parts)
        except AegisError as error:
            for part in parts:
                if part.progress.counts.left:
                    part.error = part.error or error
        return repair.plan

    def _check_source(self) -> None:
        """Whether this is the PostgreSQL that the epoch's versions count from: the first that a run has met.

        Raises:
            CannotVerify: it is another one, or a copy.
        """
        epoch = self._settings.processor.epoch
        with connect(self._settings.postgres.url()) as connection:
            found = read_identity(connection)
        known = self._tools.state.recorded(epoch, found)
        if found != known:
            raise CannotVerify(
                f"epoch {epoch} belongs to {known}; this is {found}",
                hint=f"if it takes the other's place: EPOCH={epoch + 1} for processor and reconciler",
            )

    def _report(self, part: PartCheck) -> PartReport:
        counts, error = part.progress.counts, part.error
        if error is None:
            return PartReport(counts)
        with contextlib.suppress(AegisError):  # PostgreSQL may be what is away
            left = len(self._tools.state.suspects(part.part))
            counts = replace(counts, unverified=counts.unverified + left)
        code = error.exit_code if isinstance(error, StoppedEarly | TooDifferent) else UNVERIFIED
        return PartReport(counts, str(error), error.hint, code, isinstance(error, StoppedEarly))

    def _options(self, run: Run, rows: int) -> Options:
        every, shares = self._request.deep_every, max(rows // SAMPLE, 1)
        return Options(
            shard=self._request.shard,
            deep=None if every is None else Shard(run.turn % every, every, "deep "),
            sample=Shard(run.turn % shares, shares, "sample "),
            epoch=self._settings.processor.epoch,
            max_suspects=self._request.max_suspects,
        )

    def _scope(self) -> str:
        """What a later run must ask for as well, with the same code, to go on with this one."""
        request = self._request
        return json.dumps(
            {
                "check": STATE_VERSION,
                "epoch": self._settings.processor.epoch,
                "tables": sorted(table.full_name for table in request.tables),
                "stores": None if request.stores is None else sorted(request.stores),
                "shard": str(request.shard),
                "deep_every": request.deep_every,
                "apply": request.rails is not None and request.rails.apply,
            }
        )

    def _notes(self, run: Run) -> list[str]:
        request = self._request
        notes = [f"continues run {run.run_id}"] if run.resumed else []
        if request.shard.count > 1:
            notes.append(f"only keys of shard {request.shard}")
        if request.deep_every is None:
            notes.append("fingerprints only: what was changed beside an unchanged stamp shows with --deep")
        elif request.deep_every > 1:
            share = run.turn % request.deep_every + 1
            notes.append(f"every field of share {share} of {request.deep_every}; the next run takes another")
        try:
            self._check_source()
        except CannotVerify as error:
            notes.append(f"{error}; a repair would refuse (next: {error.hint})")
        if self._reembedder.missing:
            notes.append(f"no text could be embedded anew: {self._reembedder.missing}")
        return notes
