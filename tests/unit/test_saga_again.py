"""What is refused again, later, or of one store only: still all stores show one image."""

from __future__ import annotations

import contextlib
import dataclasses

import sqlalchemy as sa

from processor.rows import Kind
from processor.tables.base import FieldType, Joined, View
from tests.refusing import Crash, shows
from tests.unit.test_saga import BEFORE, NEW, OLD, POLICIES, VIEWS, World, chain, everywhere

STEPS = 14
"""More than a batch has."""
WITH_LABELS = dataclasses.replace(
    POLICIES,
    views=(
        *VIEWS,
        View("joined", "policies", {"title": FieldType.KEYWORD, "labels": FieldType.KEYWORDS}),
    ),
    joined={"labels": Joined(Kind.TEXT_LIST, sa.null())},
)


def test_tries_that_were_broken_off_at_different_images_are_not_taken_for_one() -> None:
    """1. "bad" was refused, "worse" is refused as well: all show "old". The process dies before the offset.

    2. Tried again, "worse" reaches the left store; the process dies.
    3. What was there before is not known any more: the left store is given "bad"; the process dies.
    4. Both stores hold something back under the stamp of "worse", but not the same.
    """
    for first in range(STEPS):
        for second in range(STEPS):
            world = World()
            world.apply(BEFORE)
            world.refuse(right=shows("title", "bad", "worse"))
            bad, worse = chain("bad", "worse")
            world.apply(bad)
            world.apply(worse)
            for steps in (first, second):
                with contextlib.suppress(Crash):
                    world.apply(worse, steps=steps)
            world.apply(worse)
            assert len(set(world.titles().values())) == 1, (first, second, world.titles())


def test_a_refresh_that_its_only_store_refuses_is_tried_again_for_all_stores() -> None:
    world = World()
    world.apply(BEFORE)
    world.refuse(right=shows("title", "new"))
    done = world.refresh(NEW, stores=frozenset({"right"}))
    assert (done.letters, done.open["k"].stores) == ([], None)
    (letter,) = world.refresh(NEW).letters
    assert (world.titles(), letter.store) == (everywhere("old"), "right")


def test_a_refresh_of_joined_views_that_waits_does_not_follow_its_change_any_more() -> None:
    """By then a newer one may be refused: it looks first whether the other stores hold something back."""
    world = World()
    world.apply(BEFORE)
    world.unread = frozenset({"k"})
    done = world.refresh(NEW, stores=frozenset({"right"}), follows=True)
    assert done.open["k"].follows is False


def test_a_refused_refresh_leaves_a_row_that_is_shown_joined_as_it_was() -> None:
    """A joined view has a version of its own, as only refreshes write it."""
    world = World(WITH_LABELS)
    world.apply(BEFORE)
    world.refresh({**OLD, "labels": ["x"]})
    world.refuse(vectors=shows("title", "new"))
    (letter,) = world.refresh({**NEW, "labels": ["y"]}).letters
    assert world.titles() == everywhere("old") | {"joined": "old"}
    assert letter.store == "vectors"
    world.refuse()
    world.refresh({**NEW, "labels": ["y"]})
    assert world.titles() == everywhere("new") | {"joined": "new"}
