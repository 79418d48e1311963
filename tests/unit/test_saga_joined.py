"""What a joined view refuses, other stores have taken by then: they give it back, whatever dies meanwhile."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

import pytest
import sqlalchemy as sa

from processor.app import Processor
from processor.change import Change, Op
from processor.errors import RowRejected
from processor.letters import Letter, rows_at_fault
from processor.pipeline import plan_batch
from processor.refresh import Refresh, Replay, refresh_topic
from processor.refresher import Refresher
from processor.rows import Row
from processor.saga import Saga
from processor.snapshot import Snapshot
from processor.source import Reading
from processor.stores.base import Remove
from processor.tables.base import Projection
from sql.models import Policy
from sql.models.base import CAPTURED_BY_KEY
from tests.refusing import Countdown, anything, shows
from tests.unit.samples import TOPIC, change, message, row
from tests.unit.test_saga import BEFORE, World, chain, crashes, everywhere, outcomes
from tests.unit.test_saga_again import WITH_LABELS

CREATE = change("k", op=Op.CREATE, commit=200, title="new")
(UPDATE,) = chain("new")
DELETE = dataclasses.replace(UPDATE, op=Op.DELETE, after=None)


def without_before() -> Projection:
    """Identity DEFAULT: changes do not say what the row was."""
    table = Policy.__table__.to_metadata(sa.MetaData())  # type: ignore[attr-defined]
    table.info = {**CAPTURED_BY_KEY}
    return dataclasses.replace(WITH_LABELS, model=table)


class Joining(World):
    """A world whose batches end with what they ask to be read again, by the processor's own loop."""

    def __init__(self, projection: Projection = WITH_LABELS) -> None:
        super().__init__(projection)
        self.start()

    def start(self, steps: int = 1_000_000) -> None:
        """A new process: what the one before had left open is forgotten."""
        self.fan = self.fanout(Countdown(steps))
        self.saga = Saga(self.fan, epoch=3)
        refresher = Refresher(self.fan, mock.Mock(read=self._read), epoch=3)
        parts: Any = mock.Mock(saga=self.saga, refresher=refresher)
        self.processor = Processor(mock.Mock(epoch=3), lambda stop: parts)

    def _read(self, projection: Projection, keys: object) -> Reading:
        found: dict[str, Row] = {}
        if self.now is not None:
            found["k"] = {**row("k", title=self.now), "labels": ["x"]}
        return Reading(found, {}, Snapshot(1_000, 1_000, frozenset(), 1_000), 5_000, self.unread)

    def batch(self, *items: Change | Refresh, now: str | None, steps: int | None = None) -> list[Letter]:
        """`now` is the row's title when it is read again; None: it is gone. `steps`: of a new process."""
        if steps is not None:
            self.start(steps)
        self.now = now
        self.processor._backlog._due = 0.0
        plan = plan_batch(items, self.routes, epoch=3)
        settled = self.saga.apply(plan.tables)
        return settled.letters + self.processor._refresh(plan, settled).letters

    def waiting(self, *items: Change, now: str) -> list[Letter]:
        """A batch whose rows cannot be read at once."""
        self.unread = frozenset({"k"})
        letters = self.batch(*items, now=now)
        self.unread = frozenset()
        return letters

    def shows(self, title: str | None) -> bool:
        return self.titles() == everywhere(title) | {"joined": title}


def begin(projection: Projection = WITH_LABELS, **refuses: Any) -> Joining:
    world = Joining(projection)
    world.batch(BEFORE, now="old")
    world.refuse(**refuses)
    return world


def removes(view: object, write: object) -> bool:
    return isinstance(write, Remove)


def places(letters: list[Letter]) -> list[int]:
    """Offsets of the records that failed."""
    return [letter.message.offset for letter in letters]


@pytest.mark.parametrize("done", [CREATE, UPDATE, DELETE], ids=lambda done: done.op.name)
def test_all_stores_are_put_back_wherever_the_process_died(done: Change) -> None:
    before = None if done is CREATE else "old"
    now = None if done is DELETE else "new"

    def world_of() -> Joining:
        world = begin() if before else Joining()
        world.refuse(joined=removes if done is DELETE else shows("title", "new"))
        return world

    lived = 0
    for world in crashes(world_of, lambda world, steps: world.batch(done, now=now, steps=steps)):
        lived += 1
        world.start()
        (letter,) = world.batch(done, now=now)
        # died while it put them back: nobody knows any more whether a change before had been refused, too
        assert world.shows(before) or (done is UPDATE and world.shows(None))
        assert (letter.message, letter.store) == (done.message, "joined")
        assert letter.outcomes == outcomes(joined="rejected")
        world.refuse()
        world.refresh(None if now is None else {**row("k", title=now), "labels": ["x"]})
        assert world.shows(now)
    assert lived > 10


def test_where_changes_do_not_say_what_was_the_row_is_put_back_or_after_a_crash_shown_nowhere() -> None:
    update = dataclasses.replace(UPDATE, before=None)

    def world_of() -> Joining:
        return begin(without_before(), joined=shows("title", "new"))

    shown = []
    for world in crashes(world_of, lambda world, steps: world.batch(update, now="new", steps=steps)):
        world.start()
        world.batch(update, now="new")
        shown.append(world.shows("old"))
        assert world.shows("old") or world.shows(None)
    assert not all(shown)
    world = world_of()
    world.batch(update, now="new")
    assert world.shows("old")


def test_all_changes_of_a_batch_are_taken_back_and_each_has_a_letter() -> None:
    """What the first of them made of the row was never joined: nobody knows whether it could be."""
    world = begin(joined=shows("title", "bad"))
    letters = world.batch(*chain("1", "bad"), now="bad")
    assert world.shows("old")
    assert places(letters) == [201, 200]
    assert {letter.store for letter in letters} == {"joined"}
    assert rows_at_fault(letters) == 1


@pytest.mark.parametrize("projection", [WITH_LABELS, without_before()], ids=["before", "no before"])
@pytest.mark.parametrize("late", [False, True])
def test_two_refusals_in_a_row_go_back_to_what_was_before_both(projection: Projection, late: bool) -> None:
    world = begin(projection, joined=shows("title", "bad", "worse"))
    for one, title in zip(chain("bad", "worse"), ("bad", "worse"), strict=True):
        letters = (world.waiting if late else world.batch)(one, now=title)
        assert len(letters) == (not late)
        assert len(world.batch(now=title)) == late
        assert world.shows("old")
    world.batch(chain("bad", "worse", "fine")[-1], now="fine")
    assert world.shows("fine")


def test_when_the_process_dies_between_two_refusals_no_store_shows_the_first() -> None:
    bad, worse = chain("bad", "worse")

    def world_of() -> Joining:
        world = begin(joined=shows("title", "bad", "worse"))
        world.batch(bad, now="bad")
        return world

    for world in crashes(world_of, lambda world, steps: world.batch(worse, now="worse", steps=steps)):
        world.start()
        world.batch(worse, now="worse")
        assert world.shows("old") or world.shows(None)


def test_when_another_store_refuses_what_was_before_no_store_shows_the_row() -> None:
    world = begin(joined=shows("title", "new"), left=shows("title", "old"))
    world.batch(UPDATE, now="new")
    assert world.shows(None)


def test_a_joined_view_that_refuses_everything_is_left_to_the_reconciler() -> None:
    world = begin(joined=anything)
    (letter,) = world.batch(UPDATE, now="new")
    assert world.titles() == everywhere(None) | {"joined": "old"}
    assert letter.outcomes == outcomes(joined="compensation_failed")


def test_a_row_that_could_not_be_read_at_once_is_taken_back_later() -> None:
    world = begin(joined=shows("title", "new"))
    assert world.waiting(UPDATE, now="new") == []
    assert world.titles() == everywhere("new") | {"joined": "old"}
    letters = world.batch(now="new")
    assert world.shows("old")
    assert places(letters) == [UPDATE.message.offset]


@pytest.mark.parametrize("created", [False, True])
def test_a_row_that_waits_is_read_with_its_next_change_and_goes_back_behind_both(created: bool) -> None:
    world = Joining() if created else begin()
    world.refuse(joined=shows("title", "bad"))
    first, second = chain("1", "bad")
    if created:
        first = dataclasses.replace(first, op=Op.CREATE, before=None)
    assert world.waiting(first, now="bad") == []
    assert places(world.batch(second, now="bad")) == [201, 200]
    assert world.shows(None if created else "old")


def test_an_older_change_that_comes_again_meanwhile_does_not_count_as_the_last() -> None:
    world = begin(joined=shows("title", "bad"))
    first, second = chain("1", "bad")
    world.waiting(first, second, now="bad")
    again = dataclasses.replace(first, message=dataclasses.replace(first.message, offset=300))
    world.waiting(again, now="bad")
    assert places(world.batch(now="bad")) == [201, 300, 200]
    assert world.shows("old")


def test_a_batch_that_is_read_again_takes_nothing_back_from_newer_changes() -> None:
    """All is done but the offset; a third change commits, which is refused; the first is read again alone."""
    world = Joining()
    first, second, third = chain("1", "2", "bad")
    first = dataclasses.replace(first, op=Op.CREATE, before=None)
    world.batch(first, second, now="2")
    world.refuse(joined=shows("title", "bad"))
    assert world.batch(first, now="bad") == []
    assert world.shows("2")
    world.batch(second, now="bad")
    world.batch(third, now="bad")
    assert world.titles() == everywhere("1") | {"joined": "2"}  # each is from before what was refused


def test_what_asks_for_the_same_row_has_its_letter_too() -> None:
    """A replay in the same batch keeps its chain."""
    replay = Replay("dlq.t/0/7", 2, 1_600_000_000_000)
    raw = dataclasses.replace(message(b"", "k"), topic=refresh_topic(TOPIC), offset=9)
    command = Refresh(raw, "k", {"policy_id": "k"}, {(TOPIC, 0): 0}, replay=replay)
    world = begin(joined=shows("title", "new"))
    letters = world.batch(UPDATE, command, now="new")
    assert world.shows("old")
    assert [(letter.message, letter.replay) for letter in letters] == [(UPDATE.message, None), (raw, replay)]
    assert rows_at_fault(letters) == 1


def test_a_row_that_waits_while_a_change_of_it_does_not_travel_whole() -> None:
    """That is read at once, refused, and marks the row: what was before the first is not believed then."""
    world = begin(joined=shows("title", "bad"))
    first, second = chain("1", "bad")
    world.waiting(first, now="bad")
    with mock.patch.object(Projection, "is_whole", lambda self, found: found["title"] != "bad"):
        letters = world.batch(second, now="bad")
    assert world.shows(None)
    assert sorted(places(letters)) == [200, 201]


def test_what_our_own_validation_refuses_of_a_joined_column_is_taken_back_too() -> None:
    world = begin()
    with mock.patch("processor.refresher.want_row", side_effect=RowRejected("labels", "too long")):
        (letter,) = world.batch(UPDATE, now="new")
    assert world.shows("old")
    assert (letter.stage, letter.message) == ("project", UPDATE.message)
    assert letter.outcomes == outcomes(joined="skipped")


def test_where_all_views_are_joined_there_is_nothing_to_take_back() -> None:
    world = begin(dataclasses.replace(WITH_LABELS, views=WITH_LABELS.joined_views))
    world.refuse(joined=shows("title", "new"))
    (letter,) = world.batch(UPDATE, now="new")
    assert world.titles() == {"joined": "old"}
    assert letter.outcomes == {"joined": "rejected"}
    with mock.patch("processor.refresher.want_row", side_effect=RowRejected("labels", "too long")):
        (letter,) = world.batch(chain("new", "newer")[-1], now="newer")
    assert (world.titles(), letter.stage) == ({"joined": "old"}, "project")


def test_changes_that_wait_for_their_row_count_as_held() -> None:
    world = begin()
    world.unread = frozenset({"k"})
    large = b"x" * (1 << 20)
    for number, one in enumerate(chain(*map(str, range(40)))):
        assert world.processor._backlog.is_full == (number >= 32)
        world.batch(dataclasses.replace(one, message=dataclasses.replace(one.message, value=large)), now="39")
