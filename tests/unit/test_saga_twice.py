"""Refused changes that follow each other, wherever a process died; tables that bring no row before."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from itertools import count

import pytest
import sqlalchemy as sa

from processor.breaker import Breaker
from processor.change import Change, Op
from processor.letters import rows_at_fault
from processor.refresh import Replay
from processor.stamp import UNREADABLE, make_version
from processor.stores.base import Put, Remove
from processor.tables.base import FieldType, Projection, View
from sql.models import Policy
from sql.models.base import CAPTURED_BY_KEY
from tests.refusing import Crash, shows
from tests.unit.samples import row
from tests.unit.test_saga import (
    BEFORE,
    DELETE,
    NEW,
    POLICIES,
    UPDATE,
    World,
    chain,
    everywhere,
    infinite,
    refusing_change,
)


def every_crash(make: Callable[[], World], *changes: Change) -> Iterator[tuple[int, World]]:
    """Worlds in which the process that applies `changes` died at each of its steps, or lived."""
    for steps in count():
        world = make()
        try:
            world.apply(*changes, steps=steps)
        except Crash:
            yield steps, world
        else:
            yield steps, world
            return


def held_back_world() -> World:
    world = World()
    world.apply(BEFORE)
    world.refuse(left=shows("title", "bad", "worse"))
    return world


BAD, WORSE = chain("bad", "worse")
IN_ONE_TRANSACTION = (BAD, dataclasses.replace(WORSE, source=BAD.source))


@pytest.mark.parametrize("changes", [(BAD, WORSE), (BAD, infinite(WORSE)), IN_ONE_TRANSACTION])
def test_a_batch_of_refused_changes_leaves_what_was_there_wherever_the_process_died(
    changes: Sequence[Change],
) -> None:
    for steps, world in every_crash(held_back_world, *changes):
        assert len(world.apply(*changes)) == 2
        assert world.titles() == everywhere("old"), steps


@pytest.mark.parametrize("changes", [(BAD, WORSE), (BAD, infinite(WORSE)), IN_ONE_TRANSACTION])
def test_changes_refused_one_by_one_and_delivered_again_leave_what_was_there(
    changes: Sequence[Change],
) -> None:
    world = held_back_world()
    for change in changes:
        world.apply(change)
    for again in range(len(changes)):
        for change in changes[again:]:
            world.apply(change)
            assert world.titles() == everywhere("old")


@pytest.mark.parametrize("changes", [(BAD, WORSE), (BAD, infinite(WORSE)), IN_ONE_TRANSACTION])
def test_after_a_crash_between_refused_changes_all_stores_show_one_image(changes: Sequence[Change]) -> None:
    """What was there may be forgotten by then: the row may be shown nowhere, but never by half."""
    first, second = changes

    def make() -> World:
        world = held_back_world()
        world.apply(first)
        return world

    for steps, world in every_crash(make, second):
        world.apply(second)
        assert world.titles() in (everywhere("old"), everywhere(None)), steps
        world.refuse()
        world.refresh(NEW)
        assert world.titles() == everywhere("new")


def test_a_store_that_refuses_to_be_put_back_is_named() -> None:
    """It took the change; then it refuses everything."""
    world = World()
    world.apply(BEFORE)
    world.refuse(left=shows("title", "new"), right=lambda view, write: not shows("title", "new")(view, write))
    (letter,) = world.apply(UPDATE)
    assert world.titles() == everywhere(None) | {"right": "new"}
    assert letter.outcomes == {"left": "rejected", "right": "compensation_failed", "vectors": "compensated"}


def by_key() -> Projection:
    """As of users: a graph and a cache, and changes that do not say what the row was."""
    table = Policy.__table__.to_metadata(sa.MetaData())  # type: ignore[attr-defined]
    table.info = dict(CAPTURED_BY_KEY)
    fields = {"title": FieldType.KEYWORD}
    graph, cache = View("graph", "users", fields), View("cache", "users", fields, optional=True)
    return dataclasses.replace(POLICIES, model=table, views=(graph, cache))


@pytest.mark.parametrize("store", ["graph", "cache"])
@pytest.mark.parametrize("change", [UPDATE, DELETE, infinite(UPDATE)], ids=["update", "delete", "infinite"])
def test_what_was_there_is_read_where_changes_do_not_say_it(store: str, change: Change) -> None:
    change = dataclasses.replace(change, before=row("k", title="") if change.op is Op.DELETE else None)

    def make() -> World:
        world = World(by_key())
        world.apply(BEFORE)
        world.refuse(**{store: refusing_change("delete" if change.op is Op.DELETE else "update")})
        return world

    for steps, world in every_crash(make, change):
        world.apply(change)
        shown = world.titles()
        if store == "graph":
            assert shown["graph"] == "old", steps
        if (store, change.op) != ("cache", Op.DELETE):  # which may refuse to let go
            assert shown["cache"] in (shown["graph"], None), (steps, shown)


def test_an_entry_that_expired_or_is_anothers_does_not_keep_the_row_from_the_other_stores() -> None:
    views = (*POLICIES.views, View("cache", "policies", {"title": FieldType.KEYWORD}, optional=True))
    projection = dataclasses.replace(POLICIES, views=views)
    for foreign in (False, True):
        world = World(projection)
        world.apply(BEFORE)
        world.refuse(left=shows("title", "bad", "worse"))
        world.apply(BAD)
        cache, view = world.stores["cache"], views[-1]
        cache.apply(view, [Remove("k", cache.stamps(view, ["k"])["k"])])
        if foreign:
            cache.apply(view, [Put("k", None, UNREADABLE, {"title": "loaded by a reader"})])
        world.apply(WORSE)
        assert world.titles() == everywhere("old") | {"cache": None}


def test_a_refresh_of_an_expired_entry_does_not_show_what_is_held_back() -> None:
    views = (*POLICIES.views, View("cache", "policies", {"title": FieldType.KEYWORD}, optional=True))
    world = World(dataclasses.replace(POLICIES, views=views))
    world.apply(BEFORE)
    world.refuse(left=shows("title", "new"))
    world.apply(UPDATE)
    cache = world.stores["cache"]
    cache.apply(views[-1], [Remove("k", cache.stamps(views[-1], ["k"])["k"])])
    assert len(world.refresh(NEW, stores=frozenset({"cache"})).letters) == 1
    assert world.titles()["cache"] in ("old", None)


def test_a_forced_refresh_that_is_refused_leaves_no_half_whatever_the_stamps() -> None:
    world = World()
    world.apply(BEFORE)
    left = world.stores["left"]
    (held,) = left.stamps(POLICIES.views[0], ["k"]).values()
    beyond = dataclasses.replace(held.stamp, version=make_version(3, 9_000_000))
    left.apply(POLICIES.views[0], [Put("k", held, beyond, {"title": "old"})])
    world.refuse(left=shows("title", "new"))
    world.refresh(NEW, force=True)
    assert len(set(world.titles().values())) == 1
    world.refuse()
    world.apply(*chain("next", first=300))
    assert world.titles() == everywhere("next")


def test_a_row_of_a_new_snapshot_that_is_refused_leaves_what_was_there() -> None:
    world = World()
    world.apply(BEFORE)
    world.refuse(right=shows("title", "new"))
    read = dataclasses.replace(UPDATE, op=Op.READ, before=None)
    initial = dataclasses.replace(read, source=dataclasses.replace(read.source, last_commit_lsn=None))
    assert initial.of_initial_snapshot
    world.apply(initial)
    assert world.titles() == everywhere("old")


def test_replays_that_fail_again_do_not_stop_the_processor() -> None:
    world = World()
    world.refuse(left=shows("title", "new"))
    world.apply(dataclasses.replace(UPDATE, op=Op.CREATE, before=None))
    asked = world.refresh(NEW, replay=Replay("dlq.t/0/7", 1, 0))
    assert (len(asked.letters), rows_at_fault(asked.letters)) == (1, 0)
    Breaker(ratio=0.5, run=100).check(asked.settled, rows_at_fault(asked.letters))
    assert rows_at_fault(world.refresh(NEW).letters) == 1
