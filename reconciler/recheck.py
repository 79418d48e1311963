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
from typing import Any, Final

from processor.decide import Now
from processor.errors import AegisError
from processor.tables.base import Projection, View
from reconciler.budget import Budget
from reconciler.counts import Kind
from reconciler.examine import NOTHING, Examined, Examiner
from reconciler.fence import Fence
from reconciler.source import Look, Source
from reconciler.verdict import RowVersion, Span, Verdict, judge

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

    def run(self, keys: Sequence[str], examiner: Examiner, judged: Callable[[Judged], None]) -> None:
        """Judge `keys`; `judged` is told of each batch, at last of those that nothing can be said of.

        Raises:
            CannotVerify: a fence could not be passed.
            StoppedEarly: what was not judged yet can be judged later.
            Unavailable, Misconfigured, SourceError: a server cannot be read.
        """
        left = list(keys)
        for _ in range(ROUNDS):
            hot: list[str] = []
            for start in range(0, len(left), examiner.batch):
                self._budget.spend()
                batch = left[start : start + examiner.batch]
                found, again = self._judge(batch, examiner)
                judged(found)
                hot += again
            left = hot
        if left:
            judged(Judged(wrong=dict.fromkeys(left, Kind.UNVERIFIED)))

    def _judge(self, keys: Sequence[str], examiner: Examiner) -> tuple[Judged, list[str]]:
        """The verdicts, and the keys that have to be looked at again."""
        values = {key: self._values(key) for key in keys}
        known = [value for value in values.values() if value is not None]
        begin = self._fence.mark()
        first = self._look(examiner, known)
        self._fence.wait(self._projection, first.end)
        records = examiner.examine(first, keys)
        second = self._look(examiner, known)
        span = Span(begin, first.snapshot, Now(self._epoch, second.end, second.snapshot))
        found, again = Judged(), []
        for key in keys:
            verdict = self._verdict(key, first, second, records, span)
            if verdict is Verdict.HOT or records.get(key, NOTHING).unknown:
                again.append(key)
            elif verdict is Verdict.OK:
                found.right.append(key)
            else:
                found.wrong[key] = Kind(verdict.value)
        return found, again

    def _verdict(
        self, key: str, first: Look, second: Look, records: Mapping[str, Examined], span: Span
    ) -> Verdict:
        row, record = first.versions.get(key), records.get(key, NOTHING)
        equal = record.equal if record.stamp is not None else self._may_be_absent(row)
        return judge(row, second.versions.get(key), record.stamp, equal, span)

    def _may_be_absent(self, row: RowVersion | None) -> bool:
        return row is None or row.fp is None or self._view.optional

    def _look(self, examiner: Examiner, keys: Sequence[Mapping[str, Any]]) -> Look:
        with self._source.looking() as reader:
            return examiner.look(reader, keys)

    def _values(self, key: str) -> dict[str, Any] | None:
        """None of a record that somebody else wrote, whose key no row can have."""
        try:
            return self._projection.parse_key(key)
        except (ValueError, AegisError):
            return None
