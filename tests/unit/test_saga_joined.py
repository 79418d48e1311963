"""What a joined view refuses, other stores have taken by then: they give it back, whatever dies meanwhile."""

from __future__ import annotations

import dataclasses
from unittest import mock

import pytest

from processor.change import Change, Op
from processor.errors import RowRejected
from processor.letters import rows_at_fault
from processor.tables.base import Projection
from tests.refusing import anything, shows
from tests.unit.joining import (
    COMMAND,
    CREATE,
    DELETE,
    UPDATE,
    Joining,
    begin,
    places,
    removes,
    without_before,
)
from tests.unit.samples import row
from tests.unit.test_saga import chain, crashes, everywhere, outcomes
from tests.unit.test_saga_again import WITH_LABELS


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


def test_what_stores_showed_before_the_first_of_two_that_waited_is_not_forgotten() -> None:
    world = begin(without_before(), joined=shows("title", "bad"))
    first, second = (dataclasses.replace(one, before=None) for one in chain("1", "bad"))
    world.waiting(first, now="bad")
    world.waiting(second, now="bad")
    world.batch(now="bad")
    assert world.shows("old")


def test_a_change_that_was_joined_and_comes_again_is_not_taken_back_with_one_that_waits() -> None:
    world = begin(joined=shows("title", "bad"))
    first, second, third = chain("1", "2", "bad")
    world.batch(first, now="1")
    world.batch(second, now="2")
    world.waiting(third, now="bad")
    again = dataclasses.replace(first, message=dataclasses.replace(first.message, offset=300))
    assert places(world.batch(again, now="bad")) == [202, 300]
    assert world.shows("2")


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
    (letter,) = world.batch(first, now="bad")
    assert letter.outcomes == outcomes(left="skipped", right="skipped", vectors="skipped", joined="rejected")
    assert world.shows("2")
    world.batch(second, now="bad")
    world.batch(third, now="bad")
    assert world.shows(None)


def test_what_asks_for_the_same_row_has_its_letter_too() -> None:
    """A replay keeps its chain, in the same batch, and when it waits while the row changes."""
    asked, replay = COMMAND.message, COMMAND.replay
    world = begin(joined=shows("title", "new"))
    letters = world.batch(UPDATE, COMMAND, now="new")
    assert world.shows("old")
    assert [(letter.message, letter.replay) for letter in letters] == [
        (UPDATE.message, None),
        (asked, replay),
    ]
    letters = begin(joined=shows("title", "new")).batch(
        UPDATE, dataclasses.replace(COMMAND, replay=None), now="new"
    )
    assert (len(letters), rows_at_fault(letters)) == (2, 1)

    world = begin(joined=shows("title", "new"))
    world.unread = frozenset({"k"})
    world.batch(COMMAND, now="new")
    world.unread = frozenset()
    letters = world.batch(UPDATE, now="new")
    assert [(letter.message, letter.replay) for letter in letters] == [(UPDATE.message, replay)]


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
