"""What a joined view refuses, other stores have taken by then: they give it back, whatever dies meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from unittest import mock

import pytest
import sqlalchemy as sa

from processor.change import Change, Op
from processor.errors import RowRejected
from processor.fanout import Fanout
from processor.letters import Letter
from processor.pipeline import plan_batch
from processor.refresh import Refresh
from processor.refresher import Refresher
from processor.rows import Row
from processor.saga import Saga, Settled
from processor.snapshot import Snapshot
from processor.source import Reading
from processor.tables.base import Projection
from sql.models import Policy
from sql.models.base import CAPTURED_BY_KEY
from tests.refusing import Countdown, anything, shows
from tests.unit.samples import change, row
from tests.unit.test_saga import BEFORE, World, chain, crashes, everywhere, outcomes
from tests.unit.test_saga_again import WITH_LABELS

CREATE = change("k", op=Op.CREATE, commit=200, title="new")
(UPDATE,) = chain("new")


class Joining(World):
    """A world whose batches end with what they ask to be read again, as the processor's do."""

    def __init__(self, projection: Projection = WITH_LABELS) -> None:
        super().__init__(projection)
        self.open: Mapping[str, Refresh] = {}

    def batch(self, *changes: Change, now: str, steps: int = 10_000) -> list[Letter]:
        """`now` is the row's title when it is read again."""
        (table,) = plan_batch(changes, self.routes, epoch=3).tables
        fanout = self.fanout(Countdown(steps))
        settled = Saga(fanout, epoch=3).apply([table])
        due = {} if settled.refused else table.joined
        return settled.letters + self.read_again(fanout, due, now, settled)

    def read_again(
        self, fanout: Fanout, due: Mapping[str, Refresh], now: str, settled: Settled
    ) -> list[Letter]:
        found: dict[str, Row] = {"k": {**row("k", title=now), "labels": ["x"]}}
        reading = Reading(found, {}, Snapshot(1_000, 1_000, frozenset(), 1_000), 5_000, self.unread)
        reader = mock.Mock(read=lambda projection, keys: reading)
        done = Refresher(fanout, reader, epoch=3).refresh(self.projection, due)
        self.open = done.open
        return done.letters + Saga(fanout, 3).take_back(self.projection, done.denied, settled.brought)

    def shows(self, title: str | None) -> bool:
        return self.titles() == everywhere(title) | {"joined": title}


def begin(projection: Projection = WITH_LABELS, *, empty: bool = False) -> Joining:
    world = Joining(projection)
    if not empty:
        world.batch(BEFORE, now="old")
    return world


@pytest.mark.parametrize("done", [CREATE, UPDATE])
def test_all_stores_are_put_back_wherever_the_process_died(done: Change) -> None:
    before = None if done is CREATE else "old"

    def world_of() -> Joining:
        world = begin(empty=done is CREATE)
        world.refuse(joined=shows("title", "new"))
        return world

    lived = 0
    for world in crashes(world_of, lambda world, steps: world.batch(done, now="new", steps=steps)):
        lived += 1
        (letter,) = world.batch(done, now="new")
        assert world.shows(before)
        assert (letter.message, letter.store) == (done.message, "joined")
        assert letter.outcomes == outcomes(joined="rejected")
        assert world.stamps() == ({(200, True)} if before else set())
        world.refuse()
        world.refresh({**row("k", title="new"), "labels": ["x"]})
        assert world.shows("new")
    assert lived > 10


def test_where_changes_do_not_say_what_was_the_row_is_put_back_or_after_a_crash_shown_nowhere() -> None:
    table = Policy.__table__.to_metadata(sa.MetaData())  # type: ignore[attr-defined]
    table.info = {**CAPTURED_BY_KEY}
    update = dataclasses.replace(UPDATE, before=None)

    def world_of() -> Joining:
        world = begin(dataclasses.replace(WITH_LABELS, model=table))
        world.refuse(joined=shows("title", "new"))
        return world

    shown = []
    for world in crashes(world_of, lambda world, steps: world.batch(update, now="new", steps=steps)):
        world.batch(update, now="new")
        shown.append(world.shows("old"))
        assert world.shows("old") or world.shows(None)
    assert not all(shown)
    world = world_of()
    world.batch(update, now="new")
    assert world.shows("old")


def test_all_changes_of_a_batch_are_taken_back_and_each_has_a_letter() -> None:
    """What the first of them made of the row was never joined: nobody knows whether it could be."""
    world = begin()
    world.refuse(joined=shows("title", "bad"))
    changes = chain("1", "bad")
    letters = world.batch(*changes, now="bad")
    assert world.shows("old")
    assert [letter.message for letter in letters] == [change.message for change in reversed(changes)]
    assert {letter.store for letter in letters} == {"joined"}


def test_two_refusals_in_a_row_go_back_to_what_was_before_both() -> None:
    world = begin()
    world.refuse(joined=shows("title", "bad", "worse"))
    for one in chain("bad", "worse", "fine"):
        title = str((one.after or {})["title"])
        letters = world.batch(one, now=title)
        assert world.shows("fine" if title == "fine" else "old")
        assert len(letters) == (title != "fine")


def test_when_another_store_refuses_what_was_before_no_store_shows_the_row() -> None:
    world = begin()
    world.refuse(joined=shows("title", "new"), left=shows("title", "old"))
    world.batch(UPDATE, now="new")
    assert world.shows(None)


def test_a_joined_view_that_refuses_everything_is_left_to_the_reconciler() -> None:
    world = begin()
    world.refuse(joined=anything)
    (letter,) = world.batch(UPDATE, now="new")
    assert world.titles() == everywhere(None) | {"joined": "old"}
    assert letter.outcomes == outcomes(joined="compensation_failed")


def test_a_row_that_could_not_be_read_at_once_is_taken_back_later() -> None:
    world = begin()
    world.refuse(joined=shows("title", "new"))
    world.unread = frozenset({"k"})
    assert world.batch(UPDATE, now="new") == []
    assert world.titles() == everywhere("new") | {"joined": "old"}
    world.unread = frozenset()
    (letter,) = world.read_again(world.fanout(Countdown(10_000)), world.open, "new", Settled())
    assert world.shows("old")
    assert letter.message == UPDATE.message


def test_what_our_own_validation_refuses_of_a_joined_column_is_taken_back_too() -> None:
    world = begin()
    with mock.patch("processor.refresher.want_row", side_effect=RowRejected("labels", "too long")):
        (letter,) = world.batch(UPDATE, now="new")
    assert world.shows("old")
    assert (letter.stage, letter.message) == ("project", UPDATE.message)
