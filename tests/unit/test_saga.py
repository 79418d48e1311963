"""A change is shown by all stores or by none, whichever refuses it, whatever dies meanwhile."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from unittest import mock

import pytest
import sqlalchemy as sa

from processor.change import Change, Op
from processor.embed import Embedder
from processor.fanout import Fanout
from processor.letters import Letter, letter_headers, rows_at_fault
from processor.pipeline import plan_batch
from processor.refresh import Refresh, Replay
from processor.refresher import Refreshed, Refresher
from processor.routes import make_routes
from processor.rows import Row
from processor.saga import Saga
from processor.snapshot import Snapshot
from processor.source import Reading
from processor.stores.memory import MemoryStore
from processor.tables.base import FieldType, Projection, Text, View
from sql.models import Policy
from sql.models.base import CAPTURED_BY_KEY
from tests.model.owner import Inline, Letters
from tests.refusing import Countdown, Crash, Mortal, Refusing, Says, anything, nothing, shows
from tests.unit.samples import TOPIC, change, message, row
from tests.unit.test_pipeline_and_fanout import Waits

_FIELDS = {"title": FieldType.KEYWORD}
VIEWS = (
    View("left", "policies", _FIELDS),
    View("right", "policies", {**_FIELDS, "quality_score": FieldType.DOUBLE}),
    View("vectors", "policies", _FIELDS, text=Text(("title",), lambda values: str(values["title"]))),
)
POLICIES = Projection(model=Policy.__table__, only_when={"status": "active"}, views=VIEWS)
STORES = tuple(view.store for view in VIEWS)
OLD, NEW = row("k", title="old"), row("k", title="new")
CREATE = change("k", op=Op.CREATE, commit=200, title="new")
UPDATE = dataclasses.replace(CREATE, op=Op.UPDATE, before=OLD)
DELETE = dataclasses.replace(CREATE, op=Op.DELETE, before=OLD, after=None)
BEFORE = change("k", commit=100, xid=1, title="old")


class World:
    """Three stores, and processes that apply batches to them."""

    def __init__(self, projection: Projection = POLICIES) -> None:
        self.projection = projection
        self.routes = make_routes({TOPIC: projection}, {TOPIC: 12})
        self.unread = frozenset[str]()
        self.stores = {view.store: Refusing(MemoryStore(view.store)) for view in projection.views}
        for view in projection.views:
            self.stores[view.store].ensure(view)

    def refuse(self, **says: Says) -> None:
        for store in self.stores.values():
            store.refuses = nothing
        for name, refuses in says.items():
            self.stores[name].refuses = refuses

    def fanout(self, countdown: Countdown) -> Fanout:
        """Of a new process."""
        with mock.patch("processor.fanout.ThreadPoolExecutor", Inline):
            stores: list[Any] = [Mortal(store, countdown) for store in self.stores.values()]
            return Fanout(stores, Waits(), Embedder(Letters("letters")))

    def apply(self, *changes: Change, steps: int = 10_000) -> list[Letter]:
        plan = plan_batch(changes, self.routes, epoch=3)
        return Saga(self.fanout(Countdown(steps)), epoch=3).apply(plan.tables).letters

    def refresh(self, shown: Row | None, steps: int = 10_000, **asked: Any) -> Refreshed:
        rows = {} if shown is None else {"k": shown}
        found = Reading(rows, {}, Snapshot(1_000, 1_000, frozenset(), 1_000), 5_000, self.unread)
        reader = mock.Mock(read=lambda projection, keys: found)
        refresh = Refresh(message(b"", "k"), "k", {"policy_id": "k"}, {(TOPIC, 0): 0})
        refresher = Refresher(self.fanout(Countdown(steps)), reader, epoch=3)
        return refresher.refresh(self.projection, {"k": dataclasses.replace(refresh, **asked)})

    def titles(self) -> dict[str, object]:
        """What each store shows."""
        found = {
            view.store: self.stores[view.store].read(view, ["k"]).get("k") for view in self.projection.views
        }
        return {store: record and record.body["title"] for store, record in found.items()}

    def stamps(self) -> set[tuple[int, bool]]:
        """(version, held back) of all records."""
        held = [self.stores[view.store].stamps(view, ["k"]) for view in self.projection.views]
        return {(h.stamp.version & 0xFFFF, h.stamp.is_held_back) for found in held for h in found.values()}


W = TypeVar("W", bound=World)


def everywhere(title: str | None) -> dict[str, object]:
    return dict.fromkeys(STORES, title)


def outcomes(**others: str) -> dict[str, str]:
    return dict.fromkeys(STORES, "compensated") | others


@pytest.fixture
def world() -> World:
    return World()


def crashes(world_of: Callable[[], W], act: Callable[[W, int], object]) -> Iterator[W]:
    """Worlds in which the process died at each of its steps in turn, the last one in which it did not."""
    for steps in range(100):
        world = world_of()
        try:
            act(world, steps)
        except Crash:
            yield world
        else:
            yield world
            return
    raise AssertionError("it never ends")


OPS = {"create": (CREATE, None, NEW), "update": (UPDATE, "old", NEW), "delete": (DELETE, "old", None)}


def refusing_change(op: str) -> Says:
    if op == "delete":
        return lambda view, write: type(write).__name__ == "Remove"
    return shows("title", "new")


def begin(op: str) -> World:
    world = World()
    if op != "create":
        world.apply(BEFORE)
    return world


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("op", OPS)
def test_a_refused_change_is_shown_by_no_store_wherever_the_process_died(op: str, store: str) -> None:
    done, previous, row_now = OPS[op]

    def world_of() -> World:
        world = begin(op)
        world.refuse(**{store: refusing_change(op)})
        return world

    lived = 0
    for world in crashes(world_of, lambda world, steps: world.apply(done, steps=steps)):
        lived += 1
        (letter,) = world.apply(done)
        assert world.titles() == everywhere(previous)
        assert letter.outcomes == outcomes(**{store: "rejected"})
        assert (letter.stage, letter.store, letter.message) == ("apply", store, done.message)
        assert world.stamps() == ({(200, True)} if previous else set())
        world.refuse()
        assert world.refresh(row_now).letters == []
        assert world.titles() == everywhere("new" if row_now else None)
        assert world.stamps() == ({(200, False)} if op == "update" else {(0, False)} if row_now else set())
    assert lived > 6


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("op", ["update", "delete"])
def test_a_store_that_refuses_everything_is_left_to_the_reconciler(op: str, store: str) -> None:
    done, _, row_now = OPS[op]

    def world_of() -> World:
        world = begin(op)
        world.refuse(**{store: anything})
        return world

    for world in crashes(world_of, lambda world, steps: world.apply(done, steps=steps)):
        (letter,) = world.apply(done)
        assert world.titles() == everywhere(None) | {store: "old"}
        assert letter.outcomes == outcomes(**{store: "compensation_failed"})
        world.refuse()
        assert world.refresh(row_now).letters == []
        assert world.titles() == everywhere("new" if row_now else None)


@pytest.mark.parametrize("other", ["right", "vectors"])
def test_when_another_store_refuses_the_previous_image_no_store_shows_the_row(other: str) -> None:
    def world_of() -> World:
        world = begin("update")
        world.refuse(left=shows("title", "new"), **{other: shows("title", "old")})
        return world

    for world in crashes(world_of, lambda world, steps: world.apply(UPDATE, steps=steps)):
        (letter,) = world.apply(UPDATE)
        assert world.titles() == everywhere(None)
        assert letter.outcomes == outcomes(left="rejected")
        world.refuse()
        world.refresh(NEW)
        assert world.titles() == everywhere("new")


def chain(*titles: str | None, first: int = 200) -> list[Change]:
    """Changes of one row, each in its own transaction; None deletes it."""
    made: list[Change] = []
    before: Row | None = OLD
    for number, title in enumerate(titles):
        after = None if title is None else row("k", title=title)
        op = Op.DELETE if after is None else Op.CREATE if before is None else Op.UPDATE
        raw = dataclasses.replace(message(b"", "k"), offset=first + number)
        update = change("k", op=op, commit=first + number)
        made.append(dataclasses.replace(update, message=raw, before=before, after=after))
        before = after
    return made


@pytest.mark.parametrize(
    ("titles", "refused", "shown", "letters"),
    [
        (["1", "2", "bad"], ["bad"], "2", 1),
        (["1", "bad", "worse"], ["bad", "worse"], "1", 2),
        (["bad", "worse"], ["bad", "worse"], "old", 2),
        (["bad", "2"], ["bad"], "2", 0),
        (["1", None, "bad"], ["bad"], None, 1),
        ([None, "bad", "worse"], ["bad", "worse"], None, 2),
        (["bad", "bad", "bad"], ["bad"], "old", 3),
    ],
)
@pytest.mark.parametrize("sizes", [[3], [1, 2], [2, 1], [1, 1, 1]])
def test_the_newest_image_that_all_take_is_shown_however_the_changes_are_cut_into_batches(
    world: World,
    titles: list[str | None],
    refused: list[str],
    shown: str | None,
    letters: int,
    sizes: list[int],
) -> None:
    world.apply(BEFORE)
    world.refuse(left=shows("title", *refused))
    stream = chain(*titles)
    found: list[Letter] = []
    for size in sizes:
        batch, stream = stream[:size], stream[size:]
        found += world.apply(*batch)
    assert world.titles() == everywhere(shown)
    offsets = {letter.message.offset for letter in found}
    bad = {200 + n for n, title in enumerate(titles) if title in refused}
    assert offsets <= bad
    if sizes == [3]:
        assert len(found) == letters
        assert rows_at_fault(found) == min(letters, 1)
    world.refuse()
    last = titles[-1]
    world.refresh(None if last is None else row("k", title=last))
    assert world.titles() == everywhere(last)


def infinite(done: Change) -> Change:
    """One that no store can hold."""
    assert done.after is not None
    return dataclasses.replace(done, after={**done.after, "quality_score": float("inf")})


def test_two_refusals_in_a_row_leave_what_was_shown_before_both(world: World) -> None:
    world.apply(BEFORE)
    world.refuse(right=shows("title", "bad", "worse"))
    first, second = chain("bad", "worse")
    world.apply(first)
    assert (world.titles(), world.stamps()) == (everywhere("old"), {(200, True)})
    world.apply(second)
    assert (world.titles(), world.stamps()) == (everywhere("old"), {(201, True)})


def test_the_vector_of_an_image_that_is_shown_again_is_the_one_of_its_text(world: World) -> None:
    world.apply(BEFORE)
    view = VIEWS[2]
    made = world.stores["vectors"].read(view, ["k"])["k"].vector
    world.refuse(right=shows("title", "bad", "worse"))
    for done in chain("bad", "worse"):
        world.apply(done)
        assert world.stores["vectors"].read(view, ["k"])["k"].vector == made


def test_a_change_that_is_taken_after_refused_ones_is_shown_as_it_is(world: World) -> None:
    world.apply(BEFORE)
    world.refuse(left=shows("title", "bad"))
    bad, good = chain("bad", "good")
    world.apply(bad)
    assert world.apply(good) == []
    assert (world.titles(), world.stamps()) == (everywhere("good"), {(201, False)})


@pytest.mark.parametrize("is_held_back", [False, True])
def test_a_row_that_our_own_validation_refuses_stays_as_it_was(world: World, is_held_back: bool) -> None:
    world.apply(BEFORE)
    first, bad = chain("1", "bad")
    if is_held_back:
        world.refuse(left=shows("title", "1"))
        world.apply(first)
    (letter,) = world.apply(infinite(bad))
    assert (world.titles(), world.stamps()) == (everywhere("old"), {(201, True)})
    assert (letter.stage, letter.outcomes) == ("project", dict.fromkeys(STORES, "skipped"))


def test_an_earlier_change_of_the_batch_is_shown_when_our_own_validation_refuses_the_last(
    world: World,
) -> None:
    world.apply(BEFORE)
    good, bad = chain("good", "bad")
    (letter,) = world.apply(good, infinite(bad))
    assert (world.titles(), world.stamps()) == (everywhere("good"), {(201, True)})
    assert (letter.stage, letter.message) == ("project", bad.message)


def test_what_was_replaced_is_read_from_the_stores_where_changes_do_not_say_it() -> None:
    """Identity DEFAULT, as of users: an update brings no row before, a delete only its key."""
    table = Policy.__table__.to_metadata(sa.MetaData())  # type: ignore[attr-defined]
    table.info = {**CAPTURED_BY_KEY}
    update = dataclasses.replace(UPDATE, before=None)
    delete = dataclasses.replace(DELETE, before=row("k", title=""))
    for done, refuses in ((update, refusing_change("update")), (delete, refusing_change("delete"))):
        world = World(dataclasses.replace(POLICIES, model=table))
        world.apply(BEFORE)
        world.refuse(right=refuses)
        world.apply(done)
        assert (world.titles(), world.stamps()) == (everywhere("old"), {(200, True)})


def test_a_refused_refresh_is_kept_by_no_store_and_updates_its_letter() -> None:
    replay = Replay("dlq.t/0/7", 2, 1_600_000_000_000)

    def world_of() -> World:
        world = begin("update")
        world.refuse(right=shows("title", "new"))
        return world

    for number, world in enumerate(crashes(world_of, lambda world, steps: world.refresh(NEW, steps=steps))):
        done = world.refresh(NEW, replay=replay)
        (letter,) = done.letters
        assert len(set(world.titles().values())) == 1, (number, world.titles())
        assert letter.outcomes == outcomes(right="rejected")
        headers = dict(letter_headers(letter, "group", 1_700_000_000_000))
        assert headers["__dlq.errors.delivery.count"] == b"3"
        assert headers["__dlq.errors.letter"] == b"dlq.t/0/7"
        assert headers["__dlq.errors.first.failed.at"] == b"1600000000000"
        world.refuse()
        assert world.refresh(NEW).letters == []
        assert world.titles() == everywhere("new")
    assert number > 4


def test_a_refused_refresh_without_a_crash_leaves_what_was_shown(world: World) -> None:
    world.apply(BEFORE)
    world.refuse(vectors=shows("title", "new"))
    world.refresh(NEW)
    assert (world.titles(), world.stamps()) == (everywhere("old"), {(100, True)})
    world.refuse(vectors=lambda view, write: type(write).__name__ == "Remove")
    world.refresh(None)
    assert (world.titles(), world.stamps()) == (everywhere("old"), {(100, True)})


@pytest.mark.parametrize("store", STORES)
def test_a_refresh_of_one_store_shows_no_change_that_the_others_have_refused(
    world: World, store: str
) -> None:
    world.refuse(**{name: shows("title", "new") for name in STORES if name != store})
    world.apply(CREATE)
    assert world.titles() == everywhere(None)
    done = world.refresh(NEW, stores=frozenset({store}))
    assert (world.titles(), len(done.letters)) == (everywhere(None), 1)
    world.refuse()
    world.apply(*chain("old", first=300))
    world.refuse(**{name: shows("title", "new") for name in STORES if name != store})
    world.apply(*chain("new", first=400))
    world.refresh(NEW, stores=frozenset({store}))
    assert world.titles() == everywhere("old")
