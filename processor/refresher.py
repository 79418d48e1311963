"""Reads rows again and brings the stores to them: one try, which leaves open what must be tried later.

Why a row may have to wait, in steps:

1. Transaction T deletes a row and commits: the log has it, and the stream brings the delete to us.
2. We apply it. For other sessions T is still running: PostgreSQL shows a commit a moment after logging it.
3. A refresh of the row reads PostgreSQL, still sees it, and writes the record again. Nothing follows that
   would remove it.

So a read counts only if it could see everything that the record shows, and whatever asked for it.

What a store refuses is taken back from the others, as with changes (processor/saga.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from processor.compensate import Case, Image, agreed, reasons_of, settle, shown_again
from processor.decide import Now, Wanted, renew, want_row
from processor.errors import RowRejected
from processor.fanout import Fanout
from processor.letters import Letter, letter_of_rejected
from processor.refresh import Refresh
from processor.snapshot import Snapshot
from processor.source import Reading
from processor.stores.base import Held, LostRace, Outcome, Record, Refused, Restamp, Write
from processor.tables.base import Projection, View
from processor.writer import put_down, recall

Records = Mapping[View, Mapping[str, Held]]
"""Stamps by view and key."""


class Reader(Protocol):
    """Reads rows from PostgreSQL."""

    def read(self, projection: Projection, keys: Sequence[Mapping[str, Any]]) -> Reading:
        """The rows of those keys; raises SourceError."""
        ...


@dataclass
class Refreshed:
    """What became of a try: `open` is to be tried again, by key; `settled` rows are done or have letters."""

    open: dict[str, Refresh] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    settled: int = 0

    def leave_open(self, refresh: Refresh) -> None:
        """Until the next try, a store may refuse a newer change: it follows nothing then."""
        self.open[refresh.key] = replace(refresh, follows=False)


class Refresher:
    """Stamps are read before rows: a record that changes in between is not overwritten, but tried again."""

    def __init__(self, fanout: Fanout, reader: Reader, epoch: int) -> None:
        self._fanout = fanout
        self._reader = reader
        self._epoch = epoch
        self._lockers: dict[tuple[str, str], tuple[int, int]] = {}

    def refresh(self, projection: Projection, refreshes: Mapping[str, Refresh]) -> Refreshed:
        """Bring the records of `refreshes` (by key) to their rows, where a read can be trusted now.

        Raises:
            Misconfigured, ConfigurationError: an operator must act.
            Whatever the waiting raises: the batch is abandoned and will be read again.
        """
        result = Refreshed()
        if not refreshes:
            return result
        held = self._stamps(projection, refreshes)
        if wider := self._wider(projection, refreshes, held):
            refreshes = {**refreshes, **wider}
            held = self._stamps(projection, refreshes)
        values = [refresh.values for refresh in refreshes.values()]
        read = partial(self._reader.read, projection, values)
        reading = self._fanout.run({"postgresql": read})["postgresql"]
        wanted: dict[View, dict[str, Wanted]] = {view: {} for view in projection.views}
        for key, refresh in refreshes.items():
            views = {view: held[view].get(key) for view in projection.views if refresh.concerns(view.store)}
            hidden = self._is_hidden(projection, refresh, list(views.values()), reading)
            if hidden or key in reading.unread:
                result.leave_open(refresh)
                continue
            try:
                for view, found in self._wanted(projection, refresh, views, reading).items():
                    wanted[view][key] = found
            except RowRejected as error:
                letter = letter_of_rejected(projection, refresh.message, key, error, refresh.replay)
                result.letters.append(letter)
        self._write(projection, refreshes, wanted, held, result)
        result.settled = len(refreshes) - len(result.open)
        return result

    def forget(self) -> None:
        """What earlier tries have seen: the partitions were taken away."""
        self._lockers.clear()

    def _stamps(self, projection: Projection, refreshes: Mapping[str, Refresh]) -> Records:
        concerned = {
            view: [key for key, refresh in refreshes.items() if refresh.concerns(view.store)]
            for view in projection.views
        }
        tasks = {
            view.store: partial(self._fanout.stores[view.store].stamps, view, keys)
            for view, keys in concerned.items()
        }
        found = self._fanout.run(tasks)
        return {view: found[view.store] for view in projection.views}

    def _wider(
        self, projection: Projection, refreshes: Mapping[str, Refresh], held: Records
    ) -> dict[str, Refresh]:
        """Those for some stores only, of rows that the others do not show: all take such a row, or none."""
        everywhere = {
            key: replace(refresh, stores=None)
            for key, refresh in refreshes.items()
            if refresh.stores is not None and not refresh.follows
            if _is_in_doubt(held, key, [view for view in projection.views if refresh.concerns(view.store)])
        }
        if not everywhere:
            return {}
        found = self._stamps(projection, everywhere)
        others = {
            key: [view for view in projection.views if not refreshes[key].concerns(view.store)]
            for key in everywhere
        }
        return {key: refresh for key, refresh in everywhere.items() if _is_in_doubt(found, key, others[key])}

    def _is_hidden(
        self, projection: Projection, refresh: Refresh, records: Sequence[Held | None], reading: Reading
    ) -> bool:
        """Whether the read may have been too early; see the steps above."""
        snapshot = reading.snapshot
        xids = refresh.xids | {held.stamp.xid for held in records if held and held.stamp.xid is not None}
        if any(snapshot.hides(xid) for xid in xids):
            return True
        locker = reading.lockers.get(refresh.key, 0)
        return (
            bool(locker)
            and None in records
            and self._is_at_work((projection.name, refresh.key), locker, snapshot)
        )

    def _is_at_work(self, row: tuple[str, str], locker: int, snapshot: Snapshot) -> bool:
        """Whether the one that left `locker` in a row may not have ended yet.

        The number does not tell: it is a transaction's, a subtransaction's, or (a multixact) that of a group
        in which one changes the row while others hold it for a foreign key. So everything that ran when it
        was first seen has to end.
        """
        seen, following = self._lockers.pop(row, (0, 0))
        if seen != locker:
            following = snapshot.following
        if snapshot.xmin >= following:
            return False
        self._lockers[row] = (locker, following)
        return True

    def _wanted(
        self, projection: Projection, refresh: Refresh, records: Mapping[View, Held | None], reading: Reading
    ) -> dict[View, Wanted]:
        """All views or none, as for changes."""
        now = Now(self._epoch, reading.end, reading.snapshot)
        row = reading.rows.get(refresh.key)
        return {view: want_row(projection, view, row, refresh, held, now) for view, held in records.items()}

    def _write(
        self,
        projection: Projection,
        refreshes: Mapping[str, Refresh],
        wanted: Mapping[View, Mapping[str, Wanted]],
        held: Records,
        result: Refreshed,
    ) -> None:
        tasks = {}
        for view, found in wanted.items():
            model = self._fanout.embedder.model if self._fanout.embedder and view.text else None
            decisions = {
                key: renew(view.store, item, held[view].get(key), refreshes[key], model)
                for key, item in found.items()
            }
            tasks[view.store] = partial(self._put_down, view, decisions, found)
        done = self._fanout.run(tasks)
        written = {view: done[view.store] for view in wanted}
        cases = []
        for key, refresh in refreshes.items():
            outcomes = {v: found.outcomes[key] for v, found in written.items() if key in found.outcomes}
            refused = [view for view, outcome in outcomes.items() if isinstance(outcome, Refused)]
            if refresh.stores is not None and any(view in projection.row_views for view in refused):
                # the other stores are to show what this one does: all take the row, or none
                result.leave_open(replace(refresh, stores=None))
                continue
            if refused:
                cases.append(_case(projection, key, wanted, written))
            if any(isinstance(outcome, LostRace) for outcome in outcomes.values()):
                result.leave_open(refresh)  # who refuses now will refuse again
        settle(self._fanout, cases)
        result.letters += [
            case.letter(refreshes[case.key].message, case.refusals[0], refreshes[case.key].replay)
            for case in cases
            if case.key not in result.open
        ]

    def _put_down(
        self, view: View, writes: Mapping[str, Write | None], wanted: Mapping[str, Wanted]
    ) -> _Written:
        """Write, after reading what is to be replaced."""
        store = self._fanout.stores[view.store]
        due = [write for write in writes.values() if write is not None]
        replaced = {w.key: w.expected for w in due if w.expected and not isinstance(w, Restamp)}
        previous = recall(store, view, replaced) if replaced else {}
        outcomes = put_down(store, view, due, wanted, self._fanout.embedder)
        return _Written(writes, previous, outcomes)


@dataclass(frozen=True)
class _Written:
    """What was done in one view. `previous`: the records that were replaced."""

    writes: Mapping[str, Write | None]
    previous: Mapping[str, Record]
    outcomes: Mapping[str, Outcome]


def _is_in_doubt(held: Records, key: str, views: Sequence[View]) -> bool:
    """Whether some of those views show an older image, or nothing."""
    found = ((view, held[view].get(key)) for view in views)
    return any(record.stamp.is_held_back if record else not view.optional for view, record in found)


def _case(
    projection: Projection,
    key: str,
    wanted: Mapping[View, Mapping[str, Wanted]],
    written: Mapping[View, _Written],
) -> Case:
    mine = {view: found for view, found in written.items() if key in found.writes}
    refused = {view: found.outcomes for view, found in mine.items()}
    absence = {view: replace(wanted[view][key], body=None, text=None) for view in mine}
    previous = _previous(projection, key, mine, absence)
    return Case(projection, key, previous, absence, [reasons_of(key, refused)])


def _previous(
    projection: Projection, key: str, written: Mapping[View, _Written], absence: Image
) -> Iterator[Image]:
    """What the stores showed, if it was one image. Joined views may be behind: their stamps are their own."""
    writes = {view: found.writes[key] for view, found in written.items()}
    stamps = {
        view: write.expected.stamp if write and write.expected else None for view, write in writes.items()
    }
    image: dict[View, Wanted] = {}
    for view, write in writes.items():
        record = written[view].previous.get(key)
        if isinstance(write, Restamp):
            image[view] = replace(absence[view], keep=True)
        elif record or stamps[view] is None:
            image[view] = shown_again(record, absence[view])
    of_row = {view: stamps[view] for view in projection.row_views if view in stamps}
    was_shown = any(of_row.values()) or not of_row
    if was_shown and agreed(of_row) and image.keys() == writes.keys():
        yield image
