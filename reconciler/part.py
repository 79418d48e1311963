"""One table in one store: compare all of it once, then judge what differed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from processor.errors import AegisError
from processor.stores.base import Remove, Store
from processor.tables.base import Projection, View
from reconciler.bound import Bound
from reconciler.budget import Budget
from reconciler.counts import Counts, Kind
from reconciler.errors import TooDifferent
from reconciler.examine import ByField, ByFingerprint, Examiner, Reembed
from reconciler.fence import Fence
from reconciler.merge import Merged, merge
from reconciler.progress import Part, Phase, Progress
from reconciler.recheck import Judged, Rechecker
from reconciler.records import RecordStream
from reconciler.shard import Shard
from reconciler.source import Source
from reconciler.state import State

RANGE: Final = 20_000
"""Rows of one range: a few megabytes of keys and fingerprints, and what a killed run does again."""
DEEP_RANGE: Final = 200
EXPLAINED: Final = frozenset({Kind.MISSING, Kind.ORPHAN, Kind.STALE})
"""What an open dead letter of the row explains."""
REPAIRABLE: Final = EXPLAINED | {Kind.CORRUPT_STAMP}


@dataclass(frozen=True)
class Options:
    """How closely to look.

    Attributes:
        deep: of which keys every field is compared; None: fingerprints only.
        sample: of those, whose text is embedded anew.
        max_suspects: in one table and store; above, they are not judged one by one.
    """

    shard: Shard
    deep: Shard | None
    sample: Shard
    epoch: int
    max_suspects: int


@dataclass(frozen=True)
class Tools:
    """What all parts of a run share.

    Attributes:
        letters: of some keys, those with an open dead letter.
        seen: told of rows looked at.
        model: identity of the weights that make vectors.
        reembed: whether a text gives a vector.
    """

    state: State
    source: Source
    fence: Fence
    budget: Budget
    letters: Callable[[Projection, set[str]], set[str]]
    seen: Callable[[int], None]
    model: str
    reembed: Reembed


class PartCheck:
    """Checks one view.

    Attributes:
        progress: what has been recorded: a step counts with all that it found.
        shards: of how many the one is that is looked at.
        error: why it did not come to its end.
    """

    error: AegisError | None = None

    def __init__(
        self,
        tools: Tools,
        part: Part,
        progress: Progress,
        projection: Projection,
        view: View,
        store: Store,
        options: Options,
    ) -> None:
        self.progress = progress
        self.part, self.view, self.shards = part, view, options.shard.count
        self._tools, self._options = tools, options
        self._projection, self._store = projection, store
        self._by_fingerprint = ByFingerprint(projection, view, store)
        self._by_field = ByField(projection, view, store, tools.model, tools.reembed)
        self._rechecker = Rechecker(tools.fence, tools.source, projection, view, options.epoch, tools.budget)
        self._since = time.monotonic()

    def attempt(self, step: Callable[[], None]) -> None:
        """Take a step, unless an earlier one has failed: what fails in one part does not hide the others."""
        if self.error is None:
            try:
                step()
            except AegisError as error:
                self.error = error

    def compare(self) -> None:
        """Go on to the end.

        Raises:
            CannotVerify, TooDifferent, StoppedEarly, OutOfOrder: see reconciler/errors.py.
            Unavailable, Misconfigured, SourceError: a server cannot be read.
        """
        try:
            self._bulk()
            self._deep()
        except TooDifferent as error:
            table, store = self.part.table, self.part.store
            hint = "compare the counts of `aegis status`; if the store was lost, fill it: "
            hint += f"aegis refresh {table} --where true --stores {store}"
            raise TooDifferent(str(error), hint=hint) from error
        self._recheck()

    def wrong(self) -> dict[str, bool]:
        """Keys of what a refresh can heal, and whether only whole rows tell."""
        return self._tools.state.findings(self.part, REPAIRABLE)

    def verify(self, keys: Mapping[str, bool]) -> None:
        """Judge findings anew, which were healed; raises as `compare`."""
        self._since = time.monotonic()
        self._judge(keys.items(), self._healed)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove records whose keys no row can have: nobody else will write them; raises as `compare`."""
        held = self._store.stamps(self.view, keys)
        self._store.apply(self.view, [Remove(key, found) for key, found in held.items()])
        self._store.settle(self.view)

    def _bulk(self) -> None:
        """Ranges of rows, each read before the records beside it: what changes between is looked at again."""
        if self.progress.phase is not Phase.BULK:
            return
        shard = self._options.shard
        stream = RecordStream(self._store, self.view, self.progress.after)
        with self._tools.source.reading() as reader:
            bound = Bound(reader, self._options.epoch)
            more = True
            while more:
                after = self.progress.after
                rows = reader.fingerprints(self._projection, self.view, after, RANGE, shard)
                more = len(rows) == RANGE
                last = rows[-1][0] if more else None
                records = (record for record in stream.upto(last) if shard.takes(record[0]))
                limit = self._options.max_suspects
                merged = merge(rows, records, bound.is_beyond, self.view.optional, limit)
                counts = _counted(self.progress.counts, merged)
                self._save(Progress(Phase.BULK if more else Phase.DEEP, last, counts), merged.suspects)
                self._spend(merged.rows + merged.records, merged.rows)

    def _deep(self) -> None:
        """Rows again, whole, beside whole records."""
        if self.progress.phase is not Phase.DEEP:
            return
        if self._options.deep is not None:
            shards = (self._options.shard, self._options.deep)
            while rows := self._rows(*shards):
                compared, suspects = self._by_field.suspects(rows, self._options.sample)
                counts = self.progress.counts
                counts = replace(counts, deep_checked=counts.deep_checked + compared)
                self._save(Progress(Phase.DEEP, next(reversed(rows)), counts), suspects, deep=True)
                self._spend(2 * len(rows), 0)
        self._save(replace(self.progress, phase=Phase.RECHECK, after=None))

    def _rows(self, *shards: Shard) -> dict[str, dict[str, Any]]:
        with self._tools.source.looking() as reader:
            return reader.rows(self._projection, self.progress.after, DEEP_RANGE, *shards)

    def _recheck(self) -> None:
        if self.progress.phase is not Phase.RECHECK:
            return
        self._judge(self._tools.state.suspects(self.part), self._judged)
        self._save(replace(self.progress, phase=Phase.DONE))

    def _judge(self, keys: Collection[tuple[str, bool]], judged: Callable[[Examiner, Judged], None]) -> None:
        """Keys, each with whether only whole rows tell."""
        examiners: tuple[Examiner, ...] = (self._by_fingerprint, self._by_field)
        by_examiner = {one: [key for key, deep in keys if deep is one.deep] for one in examiners}
        self._rechecker.run(by_examiner, judged)

    def _judged(self, examiner: Examiner, found: Judged) -> None:
        kinds = self._kinds(found)
        counts = self.progress.counts.with_kinds(kinds.values())
        self._record(counts, examiner, found.right, kinds)

    def _healed(self, examiner: Examiner, found: Judged) -> None:
        """What is wrong still was counted when it was found."""
        counts = self.progress.counts
        counts = replace(counts, repaired=counts.repaired + len(found.right))
        self._record(counts, examiner, found.right, self._kinds(found), healed=True)

    def _kinds(self, found: Judged) -> dict[str, Kind]:
        unexplained = {key for key, kind in found.wrong.items() if kind in EXPLAINED}
        lettered = self._tools.letters(self._projection, unexplained) if unexplained else set()
        return {key: Kind.DEAD_LETTERED if key in lettered else kind for key, kind in found.wrong.items()}

    def _record(
        self,
        counts: Counts,
        examiner: Examiner,
        right: list[str],
        kinds: Mapping[str, Kind],
        healed: bool = False,
    ) -> None:
        progress = self._timed(replace(self.progress, counts=counts))
        wrong = {key: (kind, examiner.deep) for key, kind in kinds.items()}
        self._tools.state.judge(self.part, progress, right, wrong, healed)
        self.progress = progress

    def _save(self, progress: Progress, suspects: Iterable[str] = (), deep: bool = False) -> None:
        progress = self._timed(progress)
        number = self._tools.state.save(self.part, progress, suspects, deep)
        self.progress = progress
        if number > self._options.max_suspects:
            raise TooDifferent(f"more than {self._options.max_suspects:,} records differ")

    def _timed(self, progress: Progress) -> Progress:
        now = time.monotonic()
        seconds, self._since = progress.counts.seconds + now - self._since, now
        return replace(progress, counts=replace(progress.counts, seconds=seconds))

    def _spend(self, reads: int, rows: int) -> None:
        self._tools.seen(rows)
        self._tools.budget.spend(reads)


def _counted(counts: Counts, merged: Merged) -> Counts:
    return replace(
        counts,
        scanned_source=counts.scanned_source + merged.rows,
        scanned_store=counts.scanned_store + merged.records,
        absent=counts.absent + merged.absent,
        keys=counts.keys + merged.equal + merged.absent + len(merged.suspects),
    )
