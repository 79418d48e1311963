"""When a store refuses a change: all stores are brought to one older image, and the change becomes a letter.

No reader is to keep seeing half a change. The image is the newest that no store refuses: what the changes of
the batch had made of the row, from the last but one back, then what the stores showed before them; if all are
refused, no store shows the row. It bears the refused change's stamp, so that what comes later is newer, and
is marked as held back: the row's next change says what the row was, which is not what the stores show.

Joined views are made after the others, of rows that were read again. What their store refuses, the others
have taken by then: they are brought back to what they showed before all the changes that were to be joined.

A crash between any two steps leaves stores that differ, and the batch to be read again: the change is refused
again, and the same is done again. Only what the stores showed before may not be known any more by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from processor.change import Change, Op
from processor.compensate import Before, Case, Denied, Image, as_before, reasons_of, settle
from processor.decide import Wanted, stamp_of, version_of, want, want_kept
from processor.errors import RowRejected
from processor.fanout import Fanout, nothing
from processor.letters import Letter
from processor.pipeline import TablePlan, stale_entries
from processor.refresh import Refresh, Taken
from processor.rows import Row
from processor.stamp import Stamp, name_image
from processor.stores.base import NOTHING, Record
from processor.tables.base import Projection, View
from processor.writer import Brought

_UNKNOWN: Final = RowRejected("row", "what it was before is not known")


@dataclass
class Settled:
    """What a batch left behind.

    Attributes:
        joined: table -> what is to be read again for joined views: not of rows whose change was refused.
    """

    letters: list[Letter] = field(default_factory=list)
    joined: dict[str, list[Refresh]] = field(default_factory=dict)


class Saga:
    """Applies the changes of a batch: each to all stores or to none."""

    def __init__(self, fanout: Fanout, epoch: int) -> None:
        self._fanout = fanout
        self._epoch = epoch

    def apply(self, tables: Sequence[TablePlan], meanwhile: Callable[[], None] = nothing) -> Settled:
        """Bring all stores to what the tables want; `meanwhile` is done while they are at it.

        Raises:
            As `Fanout.bring`.
        """
        wanted = {view: found for table in tables for view, found in table.wanted.items()}
        brought = self._fanout.bring(wanted, meanwhile)
        cases = [(table, case) for table in tables for case in self._cases(table, brought)]
        settle(self._fanout, [case for _, case in cases])
        settled, refused = Settled(), set[tuple[str, str]]()
        for table, case in cases:
            refused.add((table.projection.full_name, case.key))
            settled.letters += _letters(case, table.changes[case.key])
        for table in tables:
            name = table.projection.full_name
            settled.joined[name] = [
                replace(asked, taken=_taken(table, key, brought))
                for key, asked in table.joined.items()
                if (name, key) not in refused
            ]
        return settled

    def take_back(self, projection: Projection, denied: Sequence[Denied]) -> list[Letter]:
        """Of what all stores took, but what was joined to it afterwards was refused; returns the letters.

        Not to one of the changes between: what each of them made of the row was never joined.

        Raises:
            As `Fanout.bring`.
        """
        overtaken = self._overtaken(projection, denied)
        cases = []
        for item in denied:
            make = self._case_kept if item.refresh.key in overtaken else self._case_before
            cases.append(make(projection, item))
        settle(self._fanout, cases)
        letters = []
        for item, case in zip(denied, cases, strict=True):
            changes, asked = item.taken.changes, item.refresh
            letters += _letters(case, changes, asked)
            if asked.message not in [change.message for change in changes]:
                letters.append(case.letter(asked.message, item.refusal, asked.replay))
        return letters

    def _overtaken(self, projection: Projection, denied: Sequence[Denied]) -> set[str]:
        """Of which the stores show newer changes than those: a batch that is read again. Those come, too."""
        versions = {item.refresh.key: version_of(item.taken.changes[-1], self._epoch) for item in denied}
        stamps = {
            view.store: partial(self._fanout.stores[view.store].stamps, view, list(versions))
            for view in projection.row_views
            if versions and not view.optional
        }
        held = self._fanout.run(stamps).values()
        return {
            key for found in held for key, record in found.items() if record.stamp.version > versions[key]
        }

    def _case_before(self, projection: Projection, item: Denied) -> Case:
        earlier = _Earlier(projection, item.taken.changes, self._epoch)
        images = earlier.before_all(earlier.not_mine(item.taken.previous), is_told=not item.was_held_back)
        refusals = [item.refusal] * len(item.taken.changes)
        absence = earlier.absence()
        return Case(projection, item.refresh.key, images, absence, refusals, projection.row_views)

    def _case_kept(self, projection: Projection, item: Denied) -> Case:
        """The joined views are marked alone: whatever is refused next is not to go back to these changes."""
        kept = want_kept(projection, item.taken.changes[-1], self._epoch)
        joined = {view: kept[view] for view in projection.joined_views}
        refusals = [item.refusal] * len(item.taken.changes)
        return Case(projection, item.refresh.key, iter(()), joined, refusals)

    def _cases(self, table: TablePlan, brought: Mapping[View, Brought]) -> Iterator[Case]:
        projection = table.projection
        mine = {view: brought[view] for view in projection.row_views if view in brought}
        refused = {view: found.refused for view, found in mine.items()}
        for key in dict.fromkeys([*table.rejected, *(key for found in refused.values() for key in found)]):
            earlier = _Earlier(projection, table.changes[key], self._epoch)
            images = earlier.images(_previous(brought, projection, key))
            refusal = table.rejected.get(key) or reasons_of(key, refused)
            yield Case(projection, key, images, earlier.absence(), [refusal])


def _previous(brought: Mapping[View, Brought], projection: Projection, key: str) -> dict[View, Record | None]:
    """What the row's views showed, where that had to be read."""
    mine = {view: brought[view].previous for view in projection.row_views if view in brought}
    return {view: previous[key] for view, previous in mine.items() if key in previous}


def _taken(table: TablePlan, key: str, brought: Mapping[View, Brought]) -> Taken | None:
    """What the stores of the row's own views took, if it has any."""
    if not table.projection.row_views:
        return None
    return Taken(tuple(table.changes[key]), _previous(brought, table.projection, key))


def _letters(case: Case, changes: Sequence[Change], asked: Refresh | None = None) -> list[Letter]:
    """One for every change that is newer than the image; `asked` may be a replay that one of them came to."""
    letters = []
    for change, why in zip(reversed(changes), case.refusals, strict=False):
        replay = asked.replay if asked and asked.message == change.message else None
        letters.append(case.letter(change.message, why, replay))
    return letters


class _Earlier:
    """What a row was, as images that bear the stamp of its last change."""

    def __init__(self, projection: Projection, changes: Sequence[Change], epoch: int) -> None:
        self._projection = projection
        self._changes = changes
        self._last = changes[-1]
        self._epoch = epoch

    def images(self, previous: Mapping[View, Record | None]) -> Iterator[Image | RowRejected]:
        """Before the last change, before the one before that, and so on.

        `previous` is what stores showed before all of them, where no change tells.
        """
        for older in reversed(self._changes[:-1]):
            yield self._image(older.after, name_image(str(older.message)))
        yield from self.before_all(previous)

    def before_all(
        self, previous: Mapping[View, Record | None], *, is_told: bool = True
    ) -> Iterator[Image | RowRejected]:
        """Before the first change; `is_told`: that change says what stores showed, if it says anything."""
        first = self._changes[0]
        if (shown := self._as_before(previous)) is not None:
            yield shown
        elif is_told and self._projection.has_before and first.op is not Op.READ:
            yield self._image(first.before, name_image("before", str(first.message)))
        else:
            yield _UNKNOWN

    def not_mine(self, previous: Mapping[View, Record | None]) -> dict[View, Record | None]:
        """Without what these changes themselves have left, when they come for a second time."""
        after = self._last.after
        leaves = self._last.op is not Op.DELETE and after is not None and self._projection.predicate(after)
        mine = [stamp_of(change, self._epoch) for change in self._changes]
        images = {stamp.image for stamp in mine}
        origins = {(stamp.version, stamp.xid) for stamp in mine}

        def is_mine(stamp: Stamp) -> bool:
            # a refresh that found it right has moved `seen`, and so the image's name
            return stamp.image in images or (not stamp.is_held_back and (stamp.version, stamp.xid) in origins)

        return {
            view: record
            for view, record in previous.items()
            if (leaves if record is None else not is_mine(record.stamp))
        }

    def _as_before(self, previous: Mapping[View, Record | None]) -> Image | None:
        views = self._projection.row_views
        absence = {view: self._want(view, None) for view in views}
        before = {view: Before(found.stamp, found) if found else None for view, found in previous.items()}
        shown = as_before(before, absence, views)
        is_shown = shown is not None and any(wanted.body is not None for wanted in shown.values())
        return None if shown is None else {**shown, **self._joined(is_shown)}

    def absence(self) -> dict[View, Wanted]:
        """Shown nowhere."""
        return {view: self._want(view, None) for view in self._projection.views}

    def _image(self, row: Row | None, name: str) -> Image | RowRejected:
        if row is None or not self._projection.predicate(row):
            return self.absence()
        if not self._projection.is_whole(row):
            return _UNKNOWN
        try:
            wanted = {view: self._want(view, row) for view in self._projection.row_views}
        except RowRejected as error:
            return error
        return {view: _held_back(item, name) for view, item in wanted.items()} | self._joined(True)

    def _joined(self, is_shown: bool) -> dict[View, Wanted]:
        """Views that need other tables, too: left as they are, if the row is shown at all."""
        kept = want_kept(self._projection, self._last, self._epoch)
        return {
            view: kept[view] if is_shown else self._want(view, None) for view in self._projection.joined_views
        }

    def _want(self, view: View, row: Row | None) -> Wanted:
        op = Op.READ if self._last.op is Op.READ else Op.UPDATE
        stale = stale_entries(view, self._changes).get(self._last.key, NOTHING)
        return want(self._projection, view, replace(self._last, op=op, after=row), self._epoch, stale)


def _held_back(wanted: Wanted, image: str) -> Wanted:
    return replace(wanted, stamp=wanted.stamp.held_back(wanted.stamp.fp, image))
