"""A run: one table after the other, all stores at once; what fails in one does not hide the others."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Event
from typing import Final, Protocol

from processor.build import make_stores
from processor.errors import AegisError, ConfigurationError
from processor.settings import Settings
from processor.tables.base import Projection, View
from reconciler.budget import Budget
from reconciler.counts import Counts
from reconciler.errors import StoppedEarly, TooDifferent
from reconciler.fence import Fence, Pipe
from reconciler.letters import OpenLetters
from reconciler.part import Options, PartCheck, Tools
from reconciler.progress import Part
from reconciler.reembed import Reembedder
from reconciler.report import LISTED, UNVERIFIED, PartReport, Report
from reconciler.shard import Shard
from reconciler.source import Source
from reconciler.state import Run, State

SAMPLE: Final = 16
"""About so many texts of a table are embedded anew by a deep check: a second or two of CPU."""
STATE_VERSION: Final = 1
"""Raised when what is remembered of a run means something else."""


@dataclass(frozen=True)
class Request:
    """What to look at, and how.

    Attributes:
        stores: None for all.
        deep_every: compare every field of one key in so many, another share each run; 1: all; None: none.
        fence_seconds: how long one fence may take.
        fresh: do not go on with a run that stopped early.
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
        self._settings, self._request, self._watcher = settings, request, watcher
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
            run = tools.state.begin(self._scope(), end, request.fresh)
            report = Report(run.run_id, run.as_of_lsn)
            for projection in request.tables:
                if views := self._views(projection):
                    report.parts[projection.name] = self._check_table(run, projection, views)
                if report.unfinished:
                    break
            report.notes = self._notes(run)
            if not report.unfinished:
                tools.state.end(run, report.exit_code, report.to_json())
            report.findings = tools.state.findings(run.run_id, LISTED)
            return report

    def close(self) -> None:
        """Release connections."""
        self._tools.fence.close()
        self._reembedder.close()
        for store in self._stores.values():
            store.close()

    def _views(self, projection: Projection) -> list[View]:
        wanted = self._request.stores
        return [view for view in projection.views if wanted is None or view.store in wanted]

    def _check_table(self, run: Run, projection: Projection, views: Sequence[View]) -> dict[str, PartReport]:
        """All stores at once: most of the time is theirs, and waiting for fences."""
        with self._tools.source.reading() as reader:
            rows = reader.estimate(projection)
        self._watcher.begin(projection.name, None if rows is None else rows * len(views))
        options = self._options(run, rows or 0)
        with ThreadPoolExecutor(len(views)) as threads:
            parts = threads.map(lambda view: self._check(run, projection, view, options), views)
            return {view.store: part for view, part in zip(views, parts, strict=True)}

    def _check(self, run: Run, projection: Projection, view: View, options: Options) -> PartReport:
        """One part, whatever becomes of it."""
        state, part = self._tools.state, Part(run.run_id, projection.name, view.store)
        progress = state.open_part(part, options.shard)
        self._tools.seen(progress.counts.scanned_source)
        work = PartCheck(self._tools, part, progress, projection, view, self._stores[view.store], options)
        try:
            work.run()
        except AegisError as error:
            counts = work.progress.counts
            with contextlib.suppress(AegisError):  # PostgreSQL may be what is away
                left = len(state.suspects(part))
                counts = replace(counts, unverified=counts.unverified + left)
            return _failed(counts, error)
        counts = work.progress.counts
        if not (counts.drift or counts.unverified):
            state.succeed(part, options.shard, run.as_of_lsn)
        return PartReport(counts)

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
        if self._reembedder.missing:
            notes.append(f"no text could be embedded anew: {self._reembedder.missing}")
        return notes


def _failed(counts: Counts, error: AegisError) -> PartReport:
    code = error.exit_code if isinstance(error, StoppedEarly | TooDifferent) else UNVERIFIED
    return PartReport(counts, str(error), error.hint, code, isinstance(error, StoppedEarly))
