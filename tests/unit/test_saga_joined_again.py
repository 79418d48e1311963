"""What joined views refuse, when the process died and the records come again, cut into other batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from unittest import mock

import pytest

from processor.change import Op
from processor.stores.base import LostRace, Outcome, Restamp, Write
from processor.tables.base import Projection, View
from tests.refusing import shows
from tests.unit.joining import (
    BAD,
    COMMAND,
    WORSE,
    Joining,
    begin,
    places,
    without_before,
)
from tests.unit.test_saga import chain, crashes
from tests.unit.test_saga_again import WITH_LABELS


def together(world: Joining, steps: int) -> None:
    world.countdown.left = steps
    world.batch(BAD, WORSE, now="worse")


def first_alone(world: Joining, steps: int) -> None:
    world.countdown.left = steps
    world.batch(BAD, now="bad")


def second_after_the_first(world: Joining, steps: int) -> None:
    world.batch(BAD, now="bad")
    world.countdown.left = steps
    world.batch(WORSE, now="worse")


def second_while_the_first_waits(world: Joining, steps: int) -> None:
    world.waiting(BAD, now="bad")
    world.countdown.left = steps
    world.batch(WORSE, now="worse")


def both_wait(world: Joining, steps: int) -> None:
    world.waiting(BAD, now="bad")
    world.waiting(WORSE, now="worse")
    world.countdown.left = steps
    world.batch(now="worse")


def with_a_command(world: Joining, steps: int) -> None:
    world.countdown.left = steps
    world.batch(BAD, COMMAND, now="bad")


def a_command_while_the_first_waits(world: Joining, steps: int) -> None:
    world.waiting(BAD, now="bad")
    world.countdown.left = steps
    world.batch(COMMAND, now="bad")


CUTS: list[Callable[[Joining], object]] = [
    lambda world: (world.batch(BAD, now="worse"), world.batch(WORSE, now="worse")),
    lambda world: world.batch(BAD, WORSE, now="worse"),
    lambda world: (world.waiting(BAD, now="worse"), world.batch(WORSE, now="worse")),
    lambda world: (world.waiting(BAD, WORSE, now="worse"), world.batch(now="worse")),
]


@pytest.mark.parametrize("cut", range(len(CUTS)))
@pytest.mark.parametrize("projection", [WITH_LABELS, without_before()], ids=["before", "no before"])
@pytest.mark.parametrize(
    "act",
    [
        together,
        first_alone,
        second_after_the_first,
        second_while_the_first_waits,
        both_wait,
        with_a_command,
        a_command_while_the_first_waits,
    ],
)
def test_however_a_batch_is_cut_when_it_is_read_again_no_store_shows_what_was_refused(
    act: Callable[[Joining, int], None], projection: Projection, cut: int
) -> None:
    def world_of() -> Joining:
        return begin(projection, joined=shows("title", "bad", "worse"))

    for world in crashes(world_of, act):
        world.start()
        CUTS[cut](world)
        assert world.shows("old") or world.shows(None)


def test_a_row_that_was_refused_when_it_was_made_is_shown_nowhere_until_a_change_is_not() -> None:
    """Also where the process is started anew: no joined record is there that could be marked."""
    made = dataclasses.replace(BAD, op=Op.CREATE, before=None)

    def world_of() -> Joining:
        world = Joining()
        world.refuse(joined=shows("title", "bad", "worse"))
        world.batch(made, now="bad")
        return world

    for world in crashes(world_of, lambda world, steps: world.batch(WORSE, now="worse", steps=steps)):
        world.start()
        world.batch(WORSE, now="worse")
        assert world.shows(None)
    world.waiting(WORSE, now="worse")
    world.start()
    world.batch(WORSE, now="worse")
    assert world.shows(None)
    world.batch(chain("bad", "worse", "fine")[-1], now="fine")
    assert world.shows("fine")


@pytest.mark.parametrize("taken", [False, True])
def test_a_lost_race_meanwhile_does_not_make_the_row_unknown(taken: bool) -> None:
    """Of a write that another overtook, or that met itself again, as its answer was lost: one more try."""
    world = begin(joined=shows("title", "bad"))
    store = world.stores["left"].store
    write, races = store.apply, iter([LostRace()])

    def apply(view: View, writes: Sequence[Write]) -> list[Outcome]:
        race = next(races, None) if isinstance(writes[0], Restamp) else None
        outcomes = write(view, writes) if taken or not race else []
        return [race] if race else outcomes

    with mock.patch.object(store, "apply", apply):
        assert world.batch(BAD, COMMAND, now="bad") == []
        letters = world.batch(now="bad")
    assert world.shows("old")
    assert places(letters) == [200, 9]
