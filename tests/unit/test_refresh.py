"""A row is read again: which read counts, what is written, what stays open, what is asked of others."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from processor.backlog import FULL_BYTES, FULL_ROWS, Backlog
from processor.change import Op, Truncation
from processor.delivery import partition_of
from processor.errors import Unavailable
from processor.fanout import Fanout
from processor.keys import kafka_key, key_text, key_values, parse_kafka_key
from processor.refresh import Command, Refresh, Request, Sweep, merge, refresh_topic
from processor.refresher import Refresher
from processor.routes import Route, make_routes, requests_of
from processor.rows import UNAVAILABLE, Kind, Row
from processor.snapshot import Snapshot
from processor.source import Reading
from processor.stamp import Stamp, make_version
from processor.stores.base import Put, Remove
from processor.stores.memory import MemoryStore
from processor.sweeper import Sweeper
from processor.tables import projection_of
from processor.tables.base import Dependency, FieldType, Joined, Projection, View
from sql.models import Policy
from tests.unit.samples import TOPIC, change, message, row
from tests.unit.test_pipeline_and_fanout import Waits

LEFT = View(store="left", name="policies", fields={"title": FieldType.KEYWORD})
RIGHT = View(store="right", name="policies", fields={"interest_rate": FieldType.DOUBLE})
POLICIES = Projection(model=Policy.__table__, only_when={"status": "active"}, views=(LEFT, RIGHT))
EVERYTHING_ENDED = Snapshot(1_000, 1_000, frozenset(), 1_000)


class Rows:
    """A table as reads find it, one after the other; the last of them for ever."""

    def __init__(self, *readings: Reading) -> None:
        self.readings = list(readings)
        self.asked: list[list[str]] = []

    def read(self, projection: Projection, keys: Sequence[Mapping[str, Any]]) -> Reading:
        self.asked.append([key_text(projection.key_columns, key) for key in keys])
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


def reading(
    snapshot: Snapshot = EVERYTHING_ENDED, lockers: Mapping[str, int] | None = None, /, **titles: str
) -> Reading:
    rows: dict[str, Row] = {key: {**row(key), "title": title} for key, title in titles.items()}
    return Reading(rows, lockers or {}, snapshot, end=5_000)


def refresh(key: str, **changes: Any) -> Refresh:
    asked = Refresh(message(b"", key), key, {"policy_id": key}, {(TOPIC, 0): 0})
    return dataclasses.replace(asked, **changes)


@pytest.fixture
def stores() -> dict[str, MemoryStore]:
    made = {"left": MemoryStore("left"), "right": MemoryStore("right")}
    for view in (LEFT, RIGHT):
        made[view.store].ensure(view)
    return made


def refresher(stores: Mapping[str, MemoryStore], rows: Rows, epoch: int = 0) -> Refresher:
    return Refresher(Fanout(list(stores.values()), Waits()), rows, epoch)


def hold(stores: Mapping[str, MemoryStore], key: str, stamp: Stamp, title: str = "old") -> None:
    stores["left"].apply(LEFT, [Put(key, None, stamp, {"title": title})])
    stores["right"].apply(RIGHT, [Put(key, None, stamp, {"interest_rate": 2.5})])


def titles(stores: Mapping[str, MemoryStore]) -> dict[str, object]:
    keys = [key for key, _ in stores["left"].scan(LEFT)]
    assert keys == [key for key, _ in stores["right"].scan(RIGHT)]
    return {key: record.body["title"] for key, record in stores["left"].read(LEFT, keys).items()}


def test_a_record_is_made_changed_or_removed_as_its_row_is(stores: dict[str, MemoryStore]) -> None:
    for key in ("there", "gone"):
        hold(stores, key, Stamp(77, 77, 5, "old"))
    asked = {key: refresh(key) for key in ("there", "gone", "new")}
    done = refresher(stores, Rows(reading(there="1", new="2"))).refresh(POLICIES, asked)
    assert (done.open, done.letters, titles(stores)) == ({}, [], {"there": "1", "new": "2"})


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_refresh_never_moves_a_version(stores: dict[str, MemoryStore], epoch: int) -> None:
    hold(stores, "there", Stamp(make_version(epoch, 77), 77, 5, "old"))
    asked = {key: refresh(key) for key in ("there", "new")}
    refresher(stores, Rows(reading(there="1", new="2")), epoch).refresh(POLICIES, asked)
    stamps = dict(stores["left"].scan(LEFT))
    assert (stamps["there"].version, stamps["there"].xid) == (make_version(epoch, 77), 5)
    assert (stamps["new"].version, stamps["new"].xid) == (make_version(epoch, 0), None)
    assert {stamp.seen for stamp in stamps.values()} == {5_000}


def test_force_sets_back_a_stamp_that_no_change_can_have_left(stores: dict[str, MemoryStore]) -> None:
    impossible = {
        "epoch": Stamp(make_version(4, 1), 1, 5, "old"),
        "position": Stamp(make_version(3, 6_000), 1, 5, "old"),
        "seen": Stamp(make_version(3, 1), 6_000, 5, "old"),
        "xid": Stamp(make_version(3, 1), 1, 2_000, "old"),
    }
    for key, stamp in impossible.items():
        hold(stores, key, stamp)
    found = reading(**dict.fromkeys(impossible, "new"))
    refresher(stores, Rows(found), epoch=3).refresh(POLICIES, {"epoch": refresh("epoch")})
    assert stores["left"].stamps(LEFT, ["epoch"])["epoch"].stamp.version == make_version(4, 1)
    asked = {key: refresh(key, force=True) for key in impossible}
    refresher(stores, Rows(found), epoch=3).refresh(POLICIES, asked)
    assert {(stamp.version, stamp.xid) for _, stamp in stores["left"].scan(LEFT)} == {
        (make_version(3, 0), None)
    }


RUNNING = Snapshot(xmin=900, xmax=950, running=frozenset({900, 940}), following=960)


IN_PROGRESS = {899: False, 900: True, 920: False, 940: True, 949: False, 950: True, 959: True, 960: False}


@pytest.mark.parametrize(("xid", "hidden"), IN_PROGRESS.items())
def test_a_read_that_cannot_see_what_the_record_shows_does_not_count(
    stores: dict[str, MemoryStore], xid: int, hidden: bool
) -> None:
    hold(stores, "k", Stamp(77, 77, xid, "old"))
    rows = Rows(reading(RUNNING, k="too early"), reading(k="now"))
    tried = refresher(stores, rows)
    done = tried.refresh(POLICIES, {"k": refresh("k")})
    assert (set(done.open), titles(stores)) == (
        ({"k"}, {"k": "old"}) if hidden else (set(), {"k": "too early"})
    )
    if hidden:
        assert tried.refresh(POLICIES, done.open).open == {}
        assert titles(stores) == {"k": "now"}


def test_a_read_that_cannot_see_what_asked_for_it_does_not_count(stores: dict[str, MemoryStore]) -> None:
    tried = refresher(stores, Rows(reading(RUNNING, k="too early"), reading(k="now")))
    done = tried.refresh(POLICIES, {"k": refresh("k", xids=frozenset({10, 940}))})
    assert (set(done.open), titles(stores)) == ({"k"}, {})
    tried.refresh(POLICIES, done.open)
    assert titles(stores) == {"k": "now"}


def test_a_row_that_somebody_is_removing_does_not_come_back(stores: dict[str, MemoryStore]) -> None:
    rows = Rows(reading(RUNNING, {"k": 940}, k="too early"), reading())
    tried = refresher(stores, rows)
    done = tried.refresh(POLICIES, {"k": refresh("k")})
    assert (set(done.open), titles(stores)) == ({"k"}, {})
    assert tried.refresh(POLICIES, done.open).open == {}
    assert titles(stores) == {}


def test_who_holds_a_row_whose_records_are_there_holds_up_nothing(stores: dict[str, MemoryStore]) -> None:
    hold(stores, "k", Stamp(77, 77, 5, "old"))
    done = refresher(stores, Rows(reading(RUNNING, {"k": 940}, k="new"))).refresh(
        POLICIES, {"k": refresh("k")}
    )
    assert (done.open, titles(stores)) == ({}, {"k": "new"})


def test_only_the_stores_that_are_named_are_touched(stores: dict[str, MemoryStore]) -> None:
    hold(stores, "k", Stamp(77, 77, 5, "old"))
    right = stores["right"].read(RIGHT, ["k"])
    asked = {"k": refresh("k", stores=frozenset({"left"}))}
    for _ in ("there", "lost by the store"):
        refresher(stores, Rows(reading(k="new"))).refresh(POLICIES, asked)
        assert titles(stores) == {"k": "new"}
        assert stores["right"].read(RIGHT, ["k"]) == right
        stores["left"].apply(LEFT, [Remove("k", stores["left"].stamps(LEFT, ["k"])["k"])])


def test_a_record_that_changes_under_our_hands_is_tried_again(stores: dict[str, MemoryStore]) -> None:
    hold(stores, "k", Stamp(77, 77, 5, "old"))

    class Meanwhile(Rows):
        def read(self, projection: Projection, keys: Sequence[Mapping[str, Any]]) -> Reading:
            (held,) = stores["left"].stamps(LEFT, ["k"]).values()
            stores["left"].apply(LEFT, [Put("k", held, Stamp(78, 78, 6, "newer"), {"title": "newer"})])
            return super().read(projection, keys)

    done = refresher(stores, Meanwhile(reading(k="read"))).refresh(POLICIES, {"k": refresh("k")})
    assert (set(done.open), titles(stores)) == ({"k"}, {"k": "newer"})
    refresher(stores, Rows(reading(k="read"))).refresh(POLICIES, done.open)
    assert titles(stores) == {"k": "read"}


def test_a_row_that_no_store_can_hold_becomes_a_letter_and_touches_nothing(
    stores: dict[str, MemoryStore],
) -> None:
    found = reading(good="1", bad="2")
    rows = {**found.rows, "bad": {**found.rows["bad"], "interest_rate": "NaN"}}
    asked = {key: refresh(key) for key in ("good", "bad")}
    done = refresher(stores, Rows(dataclasses.replace(found, rows=rows))).refresh(POLICIES, asked)
    (letter,) = done.letters
    assert "policies bad: interest_rate: nan is not a finite number" in letter.reason
    assert (titles(stores), done.open) == ({"good": "1"}, {})


def test_several_commands_for_a_row_do_all_that_they_ask() -> None:
    one = refresh("k", stores=frozenset({"left"}), xids=frozenset({1}), invalidates={"left": frozenset("a")})
    one = dataclasses.replace(one, since={("a", 1): 5, ("b", 1): 5})
    two = refresh("k", stores=frozenset({"right"}), force=True, xids=frozenset({2}), since={("a", 1): 4})
    merged = merge([one, two])["k"]
    assert merged.stores == frozenset({"left", "right"})
    assert merged.force
    assert merged.xids == {1, 2}
    assert merged.entries("left") == {"a"}
    assert merged.since == {("a", 1): 4, ("b", 1): 5}
    assert merge([one, refresh("k")])["k"].stores is None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(texts, st.integers(-(2**31), 2**31), st.booleans())
def test_keys_survive_every_form(text: str, number: int, flag: bool) -> None:
    columns = ("a", "b", "c")
    kinds = {"a": Kind.TEXT, "b": Kind.INTEGER, "c": Kind.BOOLEAN}
    values = {"a": text, "b": number, "c": flag}
    assert parse_kafka_key(columns, kafka_key(columns, values)) == values
    assert key_values(kinds, columns, key_text(columns, values)) == values
    assert key_values(kinds, ("a",), key_text(("a",), values)) == {"a": text}


@given(st.builds(Command, reason=texts, stores=st.none() | st.frozensets(texts), force=st.booleans(),
                 xid=st.none() | st.integers(0, 2**32 - 1), sweep=st.booleans()))  # fmt: skip
def test_a_command_survives_its_bytes(command: Command) -> None:
    assert Command.from_bytes(command.to_bytes()) == command


CHILD_TABLE = sa.Table(
    "child", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("policy", sa.Text)
)
CHILD = Projection(model=CHILD_TABLE, only_when={}, views=())
PARENT = dataclasses.replace(
    POLICIES,
    views=(LEFT, dataclasses.replace(RIGHT, fields={"children": FieldType.KEYWORDS})),
    joined={"children": Joined(Kind.TEXT_LIST, sa.literal_column("ARRAY['x']"))},
    dependencies=(Dependency("public.child", {"policy_id": "policy"}),),
)
ROUTES = make_routes({TOPIC: PARENT, "aegis.public.child": CHILD}, {TOPIC: 3, "aegis.public.child": 3})


def test_a_change_asks_for_the_rows_in_which_it_showed_and_shows() -> None:
    raw = dataclasses.replace(message(b""), topic="aegis.public.child")
    moved = dataclasses.replace(
        change(xid=9), message=raw, key="1", before={"policy": "A"}, after={"policy": "B"}
    )
    kept = dataclasses.replace(moved, before={"policy": UNAVAILABLE}, after={"policy": "B"})
    nowhere = dataclasses.replace(moved, before=None, after={"policy": None})
    asked = requests_of(ROUTES["aegis.public.child"], [moved, kept, nowhere])
    assert [(r.topic, r.key, r.command.xid, r.command.stores) for r in asked] == [
        (refresh_topic(TOPIC), b'{"policy_id":"A"}', 9, frozenset({"right"})),
        (refresh_topic(TOPIC), b'{"policy_id":"B"}', 9, frozenset({"right"})),
    ]


def test_truncate_asks_every_partition_of_the_table_and_of_those_that_show_it() -> None:
    raw = dataclasses.replace(message(b""), topic="aegis.public.child")
    asked = requests_of(ROUTES["aegis.public.child"], [Truncation(raw, 9)])
    assert [(r.topic, r.partition, r.command.stores) for r in asked] == [
        *((refresh_topic("aegis.public.child"), n, None) for n in range(3)),
        *((refresh_topic(TOPIC), n, frozenset({"right"})) for n in range(3)),
    ]
    assert all(r.key is None and r.command.sweep and r.command.xid == 9 for r in asked)


class Failing(MemoryStore):
    """Its scans end in the middle, once."""

    failures = 1

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
        for n, item in enumerate(super().scan(view, after)):
            if n == 700 and self.failures:
                self.failures -= 1
                raise Unavailable(self.name, "gone away")
            yield item


def test_a_sweep_looks_at_every_record_of_its_partitions_once_all_changes_before_it_are_applied() -> None:
    stores = [Failing("left"), MemoryStore("right")]
    for view, store in zip((LEFT, RIGHT), stores, strict=True):
        store.ensure(view)
        store.apply(view, [Put(f"k{n:04}", None, Stamp(1, 1, 1, ""), {}) for n in range(1_000)])
    route = Route(TOPIC, POLICIES, 3)
    done = {(TOPIC, 0): 9, (TOPIC, 2): 10}
    ends = {(TOPIC, n): 10 for n in range(3)} | {("another", 0): 99}
    sweeper = Sweeper(Fanout(stores, Waits()), lambda: ends, lambda topic, n: done[topic, n])
    for partition in (0, 2):
        raw = dataclasses.replace(message(b"", None, partition=partition), topic=refresh_topic(TOPIC))
        sweeper.add(route, Sweep(raw, None, frozenset({partition})))
    assert sweeper.step() == []  # an insert may still lie before it
    assert sweeper.since() == {(refresh_topic(TOPIC), 0): 0, (refresh_topic(TOPIC), 2): 0}
    done[TOPIC, 0] = 10
    found: list[Request] = []
    while sweeper.since():
        found += sweeper.step()
    keys = [kafka_key(("policy_id",), {"policy_id": f"k{n:04}"}) for n in range(1_000)]
    mine = [key for key in keys if partition_of(key, 3) != 1]
    assert {(r.topic, r.partition, r.command.sweep) for r in found} == {(refresh_topic(TOPIC), None, False)}
    for name in ("left", "right"):
        for xid in (0, 2):
            wanted = (frozenset({name}), xid)
            assert [r.key for r in found if (r.command.stores, r.command.xid) == wanted] == mine
    assert len(found) == 4 * len(mine)


def test_a_record_of_no_rows_key_does_not_stop_a_sweep() -> None:
    stores = [MemoryStore("left"), MemoryStore("right")]
    for view, store in zip((LEFT, RIGHT), stores, strict=True):
        store.ensure(view)
        store.apply(view, [Put(key, None, Stamp(1, 1, 1, ""), {}) for key in ("a\0", "b", "c" * 65)])
    sweeper = Sweeper(Fanout(stores, Waits()), dict, lambda topic, n: 0)
    sweeper.add(Route(TOPIC, POLICIES, 1), Sweep(message(b"", None), None, frozenset()))
    found = [request.key for _ in range(10) for request in sweeper.step()]
    assert found == [b'{"policy_id":"b"}'] * 2
    assert sweeper.since() == {}


def test_what_is_open_is_tried_again_after_a_moment() -> None:
    backlog = Backlog()
    backlog.put(POLICIES, {"k": refresh("k", xids=frozenset({1}), since={(TOPIC, 0): 8})})
    backlog.put(POLICIES, {"k": refresh("k", xids=frozenset({2}), since={(TOPIC, 0): 7})})
    assert backlog.since() == {(TOPIC, 0): 7}
    assert backlog.take() == []
    backlog._due = 0
    ((_, taken),) = backlog.take()
    assert taken["k"].xids == {1, 2}
    assert backlog.since() == {}


def test_while_nothing_can_be_done_the_next_try_waits_longer() -> None:
    backlog = Backlog()
    delays = []
    for still_open in (1, 1, 1, 0, 1):
        backlog.tried(1, still_open)
        delays.append(round(backlog._delay / 0.05))
    assert delays == [2, 4, 8, 1, 2]
    for _ in range(20):
        backlog.tried(1, 1)
    assert backlog._delay == 5


def test_a_backlog_is_bounded_by_rows_and_by_bytes() -> None:
    backlog = Backlog()
    backlog.put(POLICIES, {str(n): refresh(str(n)) for n in range(FULL_ROWS - 1)})
    assert not backlog.is_full
    backlog.put(POLICIES, {"one more": refresh("one more")})
    assert backlog.is_full
    backlog.clear()
    assert not backlog.is_full
    backlog.put(POLICIES, {"large": refresh("large", message=message(b"x" * FULL_BYTES))})
    assert backlog.is_full


@pytest.mark.parametrize(
    "values",
    [
        {"policy_id": 5},
        {"policy_id": None},
        {"policy_id": {"a": 1}},
        {"policy_id": "\0"},
        {"policy_id": "x" * 65},
    ],
)
def test_what_no_row_can_have_as_its_key_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="policy_id cannot be"):
        POLICIES.check_key(values)


def test_a_key_is_brought_to_the_form_in_which_postgresql_writes_it() -> None:
    users = projection_of("users")
    shouted = {"id": "6F9619FF-8B86-D011-B42D-00C04FC964FF"}
    assert users.check_key(shouted) == {"id": "6f9619ff-8b86-d011-b42d-00c04fc964ff"}
    for wrong in ("no uuid", "6f9619ff"):
        with pytest.raises(ValueError, match="badly formed"):
            users.parse_key(wrong)


def test_a_delete_is_not_read_again_in_views_of_its_row_alone() -> None:
    from processor.pipeline import plan_batch

    (table,) = plan_batch([change("a", op=Op.DELETE, xid=4)], ROUTES, epoch=0).tables
    assert [view for view, wanted in table.wanted.items() if wanted] == [LEFT]
    assert table.joined["a"].stores == frozenset({"right"})
    assert table.joined["a"].xids == {4}
