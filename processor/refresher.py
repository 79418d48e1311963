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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from processor.compensate import Denied
from processor.decide import Now, Wanted, want_row
from processor.errors import RowRejected
from processor.fanout import Fanout
from processor.letters import Letter, letter_of_rejected
from processor.refresh import Refresh
from processor.renewal import Records, deny, renew_all
from processor.snapshot import Snapshot
from processor.source import Reading
from processor.stores.base import Held
from processor.tables.base import Projection, View


class Reader(Protocol):
    """Reads rows from PostgreSQL."""

    def read(self, projection: Projection, keys: Sequence[Mapping[str, Any]]) -> Reading:
        """The rows of those keys; raises SourceError."""
        ...


@dataclass
class Refreshed:
    """What became of a try: `open` is to be tried again, by key; `settled` rows are done or have letters.

    `denied` is for the saga, which takes back what other stores have taken, and writes the letters.
    """

    open: dict[str, Refresh] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    denied: list[Denied] = field(default_factory=list)
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
        refreshes = {key: _for_all(projection, refresh, held) for key, refresh in refreshes.items()}
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
                if item := deny(projection, refresh, error, held):
                    result.denied.append(item)
                    continue
                letter = letter_of_rejected(projection, refresh.message, key, error, refresh.replay)
                result.letters.append(letter)
        renewed = renew_all(self._fanout, projection, refreshes, wanted, held)
        for refresh in renewed.open.values():
            result.leave_open(refresh)
        result.letters += renewed.letters
        result.denied += renewed.denied
        result.settled = len(refreshes) - len(result.open)
        return result

    def forget(self) -> None:
        """What earlier tries have seen: the partitions were taken away."""
        self._lockers.clear()

    def _stamps(self, projection: Projection, refreshes: Mapping[str, Refresh]) -> Records:
        """Of the stores that a refresh concerns, and mostly of the others, too: see `_for_all`."""
        concerned = {
            view: [key for key, r in refreshes.items() if r.concerns(view.store) or not r.follows]
            for view in projection.views
        }
        tasks = {
            view.store: partial(self._fanout.stores[view.store].stamps, view, keys)
            for view, keys in concerned.items()
            if keys
        }
        found = self._fanout.run(tasks)
        return {view: found.get(view.store, {}) for view in projection.views}

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


def _for_all(projection: Projection, refresh: Refresh, held: Records) -> Refresh:
    """For all stores, if some of those that it does not concern show an older image, or nothing.

    They may have refused the row: all are to take it, or none.
    """
    if refresh.stores is None or refresh.follows:
        return refresh
    others = ((v, held[v].get(refresh.key)) for v in projection.row_views if not refresh.concerns(v.store))
    behind = any(found.stamp.is_held_back if found else not view.optional for view, found in others)
    return replace(refresh, stores=None) if behind else refresh
