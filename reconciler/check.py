"""A run: one table after the other, all stores at once; what fails in one does not hide the others."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import Protocol

from processor.build import make_stores
from processor.embedding.base import Encoder
from processor.embedding.load import load_encoder
from processor.errors import AegisError, ConfigurationError
from processor.settings import Settings
from processor.tables.base import Projection, View
from reconciler.budget import Budget
from reconciler.errors import StoppedEarly, TooDifferent
from reconciler.fence import Fence, Pipe
from reconciler.letters import lettered
from reconciler.part import Options, PartCheck, Tools
from reconciler.report import LISTED, UNVERIFIED, PartReport, Report
from reconciler.shard import Shard
from reconciler.source import Source
from reconciler.state import Part, Run, State


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

    @property
    def scope(self) -> str:
        """What a later run must ask for as well to go on with this one."""
        return json.dumps(
            {
                "mode": "check",
                "tables": sorted(table.full_name for table in self.tables),
                "stores": None if self.stores is None else sorted(self.stores),
                "shard": str(self.shard),
                "deep_every": self.deep_every,
            }
        )


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
        self._stores = {store.name: store for store in make_stores(settings)}
        self._tools = Tools(
            state=State(settings.postgres),
            source=Source(settings.postgres),
            fence=Fence(settings, captured, request.fence_seconds, pipe),
            budget=Budget(stop, request.max_seconds, request.rows_per_second),
            letters=partial(lettered, settings),
            seen=watcher.seen,
            model=settings.embedding.model_id,
        )

    def run(self) -> Report:
        """Compare.

        Raises:
            CannotVerify: positions mean nothing now, so nothing was compared.
            Overlapping: another run is at work.
            SourceError, ConfigurationError: PostgreSQL or Kafka cannot be used.
        """
        tools, request = self._tools, self._request
        with tools.state.locked(request.shard):
            tools.fence.check()
            with tools.source.reading() as reader:
                end = reader.now(self._settings.processor.epoch).end
            run = tools.state.begin(request.scope, end, request.fresh)
            report = Report(run.run_id, run.as_of_lsn, notes=self._notes(run))
            with self._encoder(report) as encoder:
                for projection in request.tables:
                    parts = self._check_table(run, projection, replace(tools, encoder=encoder))
                    report.parts |= {projection.name: parts} if parts else {}
                    if report.unfinished:
                        break
            report.findings = tools.state.findings(run.run_id, LISTED)
            if not report.unfinished:
                tools.state.end(run, report.exit_code, report.to_json())
            return report

    def close(self) -> None:
        """Release connections."""
        self._tools.fence.close()
        for store in self._stores.values():
            store.close()

    def _views(self, projection: Projection) -> list[View]:
        wanted = self._request.stores
        return [view for view in projection.views if wanted is None or view.store in wanted]

    def _check_table(self, run: Run, projection: Projection, tools: Tools) -> dict[str, PartReport]:
        """All stores at once: most of the time is theirs, and waiting for fences."""
        views = self._views(projection)
        if not views:
            return {}
        with tools.source.reading() as reader:
            rows = reader.estimate(projection)
        self._watcher.begin(projection.name, None if rows is None else rows * len(views))
        with ThreadPoolExecutor(len(views)) as threads:
            parts = threads.map(lambda view: self._check(run, projection, view, tools), views)
            return {view.store: part for view, part in zip(views, parts, strict=True)}

    def _check(self, run: Run, projection: Projection, view: View, tools: Tools) -> PartReport:
        """One part, whatever becomes of it."""
        part = Part(run.run_id, projection.name, view.store)
        progress = tools.state.open_part(part, self._request.shard)
        tools.seen(progress.counts.scanned_source)
        work = PartCheck(tools, part, projection, view, self._stores[view.store], self._options(run))
        try:
            work.run(progress)
        except AegisError as error:
            code = error.exit_code if isinstance(error, StoppedEarly | TooDifferent) else UNVERIFIED
            with contextlib.suppress(AegisError):  # PostgreSQL may be what is away
                progress.counts.unverified += len(tools.state.suspects(part))
            return PartReport(progress.counts, str(error), error.hint, code, isinstance(error, StoppedEarly))
        if self._request.shard.count == 1 and not (progress.counts.drift or progress.counts.unverified):
            tools.state.succeed(part, run.as_of_lsn)
        return PartReport(progress.counts)

    def _options(self, run: Run) -> Options:
        every = self._request.deep_every
        return Options(
            shard=self._request.shard,
            deep=None if every is None else Shard(run.turn % every, every, "deep "),
            epoch=self._settings.processor.epoch,
            max_suspects=self._request.max_suspects,
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
        return notes

    def _embeds(self) -> bool:
        return any(view.text for projection in self._request.tables for view in self._views(projection))

    @contextmanager
    def _encoder(self, report: Report) -> Iterator[Encoder | None]:
        """To embed a few texts anew; a deep check is worth something without, too."""
        if self._request.deep_every is None or not self._embeds():
            yield None
            return
        try:
            encoder = load_encoder(self._settings.embedding)
        except ConfigurationError as error:
            report.notes.append(f"no text was embedded anew: {error}")
            yield None
            return
        yield encoder
        encoder.close()
