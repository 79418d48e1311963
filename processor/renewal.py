"""Writes rows that were read again, to all stores that they concern or to none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from processor.compensate import Before, Case, Denied, Image, Refusal, as_before, reasons_of, settle
from processor.decide import Wanted, renew
from processor.errors import RowRejected
from processor.fanout import Fanout
from processor.letters import Letter
from processor.refresh import Refresh
from processor.stores.base import Applied, Held, LostRace, Outcome, Record, Refused, Restamp, Write
from processor.tables.base import Projection, View
from processor.writer import put_down, recall

Records = Mapping[View, Mapping[str, Held]]
"""Stamps by view and key."""


@dataclass
class Renewed:
    """What is to be tried again, by key, and what was refused.

    Attributes:
        letters: of refreshes for themselves.
        denied: those that other stores have taken changes for.
    """

    open: dict[str, Refresh] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    denied: list[Denied] = field(default_factory=list)


@dataclass
class _Written:
    """What was done in one view. `previous`: the records that were replaced."""

    writes: Mapping[str, Write | None]
    previous: dict[str, Record] = field(default_factory=dict)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)


def renew_all(
    fanout: Fanout,
    projection: Projection,
    refreshes: Mapping[str, Refresh],
    wanted: Mapping[View, Mapping[str, Wanted]],
    held: Records,
) -> Renewed:
    """Bring records from `held` to what is wanted of them, by view and key.

    Raises:
        As `Fanout.run`.
    """
    model = fanout.embedder.model if fanout.embedder else None
    written = {}
    for view, found in wanted.items():
        there = held[view]
        writes = {k: renew(view.store, item, there.get(k), refreshes[k], model) for k, item in found.items()}
        written[view] = _Written(writes)
    fanout.run({view.store: partial(_put_down, fanout, view, written[view], wanted[view]) for view in wanted})
    renewed, cases = Renewed(), list[Case]()
    for key, refresh in refreshes.items():
        outcomes = {view: done.outcomes[key] for view, done in written.items() if key in done.outcomes}
        refused = [view for view, outcome in outcomes.items() if isinstance(outcome, Refused)]
        if refused:
            cases.append(_case(projection, key, wanted, written))
        if refresh.stores is not None and any(view in projection.row_views for view in refused):
            # the others may show what this store refuses: then it is to be taken from them, too
            renewed.open[key] = replace(refresh, stores=None)
        elif any(isinstance(outcome, LostRace) for outcome in outcomes.values()):
            renewed.open[key] = refresh  # who refuses now will refuse again
    denied = {case.key: deny(projection, refreshes[case.key], case.refusals[0], held) for case in cases}
    joined = {view: written[view] for view in projection.joined_views if view in written}
    due = [case for case in cases if not denied[case.key]]
    # the saga has the row's own views; a mark without need would say that an earlier change was refused, too
    half_joined = [key for key, item in denied.items() if item and _wrote(key, joined)]
    settle(fanout, due + [_case(projection, key, wanted, joined) for key in half_joined])
    for case in cases:
        asked, item = refreshes[case.key], denied[case.key]
        if case.key in renewed.open:
            continue
        if item:
            renewed.denied.append(item)
        else:
            renewed.letters.append(case.letter(asked.message, case.refusals[0], asked.replay))
    return renewed


def deny(projection: Projection, asked: Refresh, refusal: Refusal, held: Records) -> Denied | None:
    """If it is what was to be joined that is refused, and the other stores have taken the row's changes."""
    views = [view for view in projection.joined_views if not view.optional]
    stores = {view.store for view in projection.joined_views}
    if asked.taken is None or not (isinstance(refusal, RowRejected) or stores & refusal.keys()):
        return None
    before = asked.taken.changes[0].before
    was_shown = before is not None and projection.predicate(before)
    found = [held[view].get(asked.key) for view in views]
    was_held_back = any(record.stamp.is_held_back if record else was_shown for record in found)
    return Denied(asked, asked.taken, refusal, was_held_back)


def _wrote(key: str, written: Mapping[View, _Written]) -> bool:
    """Whether some store took it."""
    return any(isinstance(done.outcomes.get(key), Applied) for done in written.values())


def _put_down(fanout: Fanout, view: View, written: _Written, wanted: Mapping[str, Wanted]) -> None:
    """Write, after reading what is to be replaced; once only, also where the store's answer is lost."""
    store = fanout.stores[view.store]
    due = [write for write in written.writes.values() if write is not None]
    replaced = {w.key: w.expected for w in due if w.expected and not isinstance(w, Restamp)}
    if unknown := {key: found for key, found in replaced.items() if key not in written.previous}:
        written.previous |= recall(store, view, unknown)
    written.outcomes = put_down(store, view, due, wanted, fanout.embedder)


def _case(
    projection: Projection,
    key: str,
    wanted: Mapping[View, Mapping[str, Wanted]],
    written: Mapping[View, _Written],
) -> Case:
    mine = {view: done for view, done in written.items() if key in done.writes}
    refused = {view: done.outcomes for view, done in mine.items()}
    absence = {view: _absence(wanted[view][key], done.writes[key]) for view, done in mine.items()}
    before = _before(key, mine)
    return Case(projection, key, _images(projection, before, absence), absence, [reasons_of(key, refused)])


def _images(projection: Projection, before: Mapping[View, Before | None], absence: Image) -> Iterator[Image]:
    views = [view for view in projection.row_views if view in absence] or list(absence)
    shown = as_before(before, absence, views)
    if shown is not None:
        yield shown


def _absence(wanted: Wanted, write: Write | None) -> Wanted:
    """Whatever the version, where an impossible one is set back."""
    expected = write.expected if write else None
    direct = expected is not None and expected.stamp.version > wanted.stamp.version
    return replace(wanted, body=None, text=None, direct=direct)


def _before(key: str, written: Mapping[View, _Written]) -> dict[View, Before | None]:
    """What is known of the records that were there."""
    before: dict[View, Before | None] = {}
    for view, done in written.items():
        write, record = done.writes[key], done.previous.get(key)
        if write is None or write.expected is None:
            before[view] = None
        elif isinstance(write, Restamp) or record is not None:
            before[view] = Before(write.expected.stamp, record)
    return before
