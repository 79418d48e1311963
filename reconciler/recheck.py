"""Judges suspects one by one, under live traffic, without ever calling right what is wrong or the reverse.

A batch, in this order and no other:

1. A marker is committed; its position is where the time in question begins.
2. The rows are read, in one snapshot; then the end of the log.
3. The fence: the stores show all that was committed before that end.
4. The records are read.
5. The rows are read again.

What may still be on its way is looked at again, a few rounds long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from processor.decide import Now
from processor.tables.base import Projection, View
from reconciler.budget import Budget
from reconciler.counts import Kind
from reconciler.examine import NOTHING, Examined, Examiner
from reconciler.fence import Fence
from reconciler.source import Look, Source, key_values
from reconciler.verdict import RowVersion, Span, Verdict, judge

Suspects = Mapping[Examiner, Sequence[str]]
"""Keys, by how they are to be compared; all of a batch share one fence, which takes a second or two."""
ROUNDS: Final = 10
"""A row that changes every second is caught between two of its changes by one round of a few."""


@dataclass
class Judged:
    """What became of some suspects: keys that are right, and the others with what they are."""

    right: list[str] = field(default_factory=list)
    wrong: dict[str, Kind] = field(default_factory=dict)


class Rechecker:
    """Judges the suspects of one view."""

    def __init__(
        self, fence: Fence, source: Source, projection: Projection, view: View, epoch: int, budget: Budget
    ) -> None:
        self._fence, self._source = fence, source
        self._projection, self._view = projection, view
        self._epoch, self._budget = epoch, budget

    def run(self, suspects: Suspects, judged: Callable[[Examiner, Judged], None]) -> None:
        """Judge all; `judged` is told of each batch, at last of those that nothing can be said of.

        Raises:
            CannotVerify: a fence could not be passed.
            StoppedEarly: what was not judged yet can be judged later.
            Unavailable, Misconfigured, SourceError: a server cannot be read.
        """
        left = {examiner: list(keys) for examiner, keys in suspects.items()}
        for _ in range(ROUNDS):
            hot: dict[Examiner, list[str]] = {examiner: [] for examiner in left}
            while batch := {examiner: keys[: examiner.batch] for examiner, keys in left.items() if keys}:
                self._budget.spend()
                for examiner, (found, again) in self._judge(batch).items():
                    judged(examiner, found)
                    hot[examiner] += again
                    del left[examiner][: examiner.batch]
            left = hot
        for examiner, keys in left.items():
            if keys:
                judged(examiner, Judged(wrong=dict.fromkeys(keys, Kind.UNVERIFIED)))

    def _judge(self, batch: Suspects) -> dict[Examiner, tuple[Judged, list[str]]]:
        """By examiner, the verdicts, and the keys that have to be looked at again."""
        begin = self._fence.mark()
        firsts = {examiner: self._look(examiner, keys) for examiner, keys in batch.items()}
        self._fence.wait([self._projection], max(first.end for first in firsts.values()))
        found = {}
        for examiner, first in firsts.items():
            records = examiner.examine(first, batch[examiner])
            second = self._look(examiner, batch[examiner])
            span = Span(begin, first.snapshot, Now(self._epoch, second.end, second.snapshot))
            verdicts = {
                key: self._verdict(key, first, second, records.get(key, NOTHING), span)
                for key in batch[examiner]
            }
            found[examiner] = _sorted(verdicts)
        return found

    def _verdict(self, key: str, first: Look, second: Look, record: Examined, span: Span) -> Verdict:
        row = first.versions.get(key)
        equal = record.equal if record.stamp is not None else self._may_be_absent(row)
        verdict = judge(row, second.versions.get(key), record.stamp, equal, span)
        return Verdict.HOT if record.unknown and verdict is Verdict.OK else verdict

    def _may_be_absent(self, row: RowVersion | None) -> bool:
        return row is None or row.fp is None or self._view.optional

    def _look(self, examiner: Examiner, keys: Sequence[str]) -> Look:
        values = [values for key in keys if (values := key_values(self._projection, key)) is not None]
        with self._source.looking() as reader:
            return examiner.look(reader, values)


def _sorted(verdicts: Mapping[str, Verdict]) -> tuple[Judged, list[str]]:
    found, again = Judged(), []
    for key, verdict in verdicts.items():
        if verdict is Verdict.HOT:
            again.append(key)
        elif verdict is Verdict.OK:
            found.right.append(key)
        else:
            found.wrong[key] = Kind(verdict.value)
    return found, again
