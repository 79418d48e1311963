"""One table in one store: compare all of it once, then judge what differed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from processor.embedding.base import Encoder
from processor.errors import SourceError
from processor.stores.base import Store
from processor.tables.base import Projection, View
from reconciler.bound import Bound
from reconciler.budget import Budget
from reconciler.counts import Counts, Kind
from reconciler.examine import ByField, ByFingerprint, Examiner
from reconciler.fence import Fence
from reconciler.merge import Merged, merge
from reconciler.recheck import Judged, Rechecker
from reconciler.records import RecordStream
from reconciler.shard import Shard
from reconciler.source import Source
from reconciler.state import Part, Phase, Progress, State

RANGE: Final = 20_000
"""Rows of one range: a few megabytes of keys and fingerprints, and what a killed run does again."""
DEEP_RANGE: Final = 200
SAMPLE: Final = 16
"""Texts of a view that a deep check embeds anew: a second or two of CPU."""


@dataclass(frozen=True)
class Options:
    """How closely to look.

    Attributes:
        deep: None for fingerprints only; else of which keys every field is compared.
        max_suspects: in one table and store; above, they are not judged one by one.
    """

    shard: Shard
    deep: Shard | None
    epoch: int
    max_suspects: int


@dataclass(frozen=True)
class Tools:
    """What all parts of a run share.

    Attributes:
        letters: of some keys, those with an open dead letter.
        seen: told of rows looked at.
        model: identity of the weights that make vectors.
        encoder: them, if texts are to be embedded anew.
    """

    state: State
    source: Source
    fence: Fence
    budget: Budget
    letters: Callable[[Projection, set[str]], set[str]]
    seen: Callable[[int], None]
    model: str
    encoder: Encoder | None = None


class PartCheck:
    """Checks one view. `run` may be called again after whatever ended it: it goes on."""

    def __init__(
        self, tools: Tools, part: Part, projection: Projection, view: View, store: Store, options: Options
    ) -> None:
        self._tools, self._part, self._options = tools, part, options
        self._projection, self._view, self._store = projection, view, store
        self._by_fingerprint = ByFingerprint(projection, view, store)
        self._by_field = ByField(projection, view, store, tools.model, tools.encoder)
        self._rechecker = Rechecker(tools.fence, tools.source, projection, view, options.epoch, tools.budget)

    def run(self, progress: Progress) -> None:
        """Go on from `progress` to the end, which then is in `progress`.

        Raises:
            CannotVerify, TooDifferent, StoppedEarly, OutOfOrder: see reconciler/errors.py.
            Unavailable, Misconfigured, SourceError: a server cannot be read.
        """
        with self._timed(progress):
            if progress.phase is Phase.BULK:
                self._bulk(progress)
            if progress.phase is Phase.DEEP:
                self._deep(progress)
                self._next(progress, Phase.RECHECK)
            if progress.phase is Phase.RECHECK:
                self._recheck(progress)
                self._next(progress, Phase.DONE)

    def _bulk(self, progress: Progress) -> None:
        """Ranges of rows, each read before the records beside it: what changes between is looked at again."""
        shard = self._options.shard
        stream = RecordStream(self._store, self._view, progress.after)
        with self._tools.source.reading() as reader:
            bound = Bound(reader, self._options.epoch)
            more, found = True, len(self._tools.state.suspects(self._part))
            while more:
                rows = reader.fingerprints(self._projection, self._view, progress.after, RANGE, shard)
                more = len(rows) == RANGE
                last = rows[-1][0] if more else None
                records = (record for record in stream.upto(last) if shard.takes(record[0]))
                limit = self._options.max_suspects - found
                merged = merge(rows, records, bound.is_beyond, self._view.optional, limit)
                found += len(merged.suspects)
                progress.after = last
                progress.phase = Phase.BULK if more else Phase.DEEP
                _count(progress.counts, merged)
                self._tools.state.save(self._part, progress, merged.suspects)
                self._spend(merged.rows + merged.records, merged.rows)

    def _deep(self, progress: Progress) -> None:
        """Rows again, whole, beside whole records."""
        if self._options.deep is None:
            return
        shards = (self._options.shard, self._options.deep)
        with self._tools.source.reading() as reader:
            while rows := reader.rows(self._projection, progress.after, DEEP_RANGE, *shards):
                self._sample(rows.keys())
                suspects = self._by_field.suspects(rows)
                progress.after = next(reversed(rows))
                progress.counts.deep_checked += len(rows)
                self._tools.state.save(self._part, progress, suspects, deep=True)
                self._spend(2 * len(rows), 0)

    def _recheck(self, progress: Progress) -> None:
        suspects = self._tools.state.suspects(self._part)
        for examiner in (self._by_fingerprint, self._by_field):
            self._judge([key for key, deep in suspects if deep is examiner.deep], examiner, progress)

    def _judge(self, keys: list[str], examiner: Examiner, progress: Progress) -> None:
        def judged(found: Judged) -> None:
            lettered = self._tools.letters(self._projection, set(found.wrong)) if found.wrong else set()
            kinds = {
                key: Kind.DEAD_LETTERED if key in lettered and kind is not Kind.CORRUPT_STAMP else kind
                for key, kind in found.wrong.items()
            }
            for kind in kinds.values():
                progress.counts.add(kind)
            wrong = {key: (kind, examiner.deep) for key, kind in kinds.items()}
            self._tools.state.judge(self._part, progress, found.right, wrong)

        self._rechecker.run(keys, examiner, judged)

    def _sample(self, keys: Iterable[str]) -> None:
        for key in keys:
            if len(self._by_field.sampled) < SAMPLE:
                self._by_field.sampled.add(key)

    def _next(self, progress: Progress, phase: Phase) -> None:
        progress.phase, progress.after = phase, None
        self._tools.state.save(self._part, progress)

    def _spend(self, reads: int, rows: int) -> None:
        self._tools.seen(rows)
        self._tools.budget.spend(reads)

    @contextmanager
    def _timed(self, progress: Progress) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            progress.counts.seconds += time.monotonic() - started
            with contextlib.suppress(SourceError):  # it is what ended the work
                self._tools.state.save(self._part, progress)


def _count(counts: Counts, merged: Merged) -> None:
    counts.scanned_source += merged.rows
    counts.scanned_store += merged.records
    counts.absent += merged.absent
    counts.keys += merged.equal + merged.absent + len(merged.suspects)
