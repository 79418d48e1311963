"""A batch reaches all stores or becomes letters; a store that is away is waited for."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest

from processor.breaker import Breaker
from processor.change import Message, Op, Poison
from processor.consumer import AssignmentLost
from processor.errors import DecodeError, TooManyDeadLetters, Unavailable
from processor.fanout import Fanout
from processor.letters import PREFIX, Letter, letter_headers
from processor.pipeline import Plan, TablePlan, plan_batch
from processor.routes import make_routes
from processor.saga import Saga
from processor.stores.base import Outcome, Write
from processor.stores.memory import MemoryStore
from processor.tables.base import FieldType, Projection, View
from sql.models import Policy
from tests.unit.samples import TOPIC, change, message

LEFT = View(store="left", name="policies", fields={"title": FieldType.KEYWORD})
RIGHT = View(store="right", name="policies", fields={"interest_rate": FieldType.DOUBLE})
TWO_STORES = Projection(
    model=Policy.__table__,
    only_when={"status": "active"},
    views=(LEFT, RIGHT),
)
ROUTES = make_routes({TOPIC: TWO_STORES}, {TOPIC: 12})


@dataclass
class Waits:
    """Notes what is waited for, and does not wait."""

    held: list[float] = field(default_factory=list)
    stayed: int = 0

    def hold(self, seconds: float) -> None:
        self.held.append(seconds)

    def stay(self, calls: Collection[Future[Any]]) -> None:
        self.stayed += 1


class Lost(Waits):
    """The partitions are taken away whenever it waits."""

    def hold(self, seconds: float) -> None:
        raise AssignmentLost

    def stay(self, calls: Collection[Future[Any]]) -> None:
        raise AssignmentLost


def stores() -> list[MemoryStore]:
    made = [MemoryStore("left"), MemoryStore("right")]
    for store, view in zip(made, (LEFT, RIGHT), strict=True):
        store.ensure(view)
    return made


def plan(*items: object) -> Plan:
    return plan_batch(items, ROUTES, epoch=0)  # type: ignore[arg-type]


def apply(fanout: Fanout, tables: Sequence[TablePlan]) -> list[Letter]:
    return Saga(fanout, epoch=0).apply(tables).letters


def test_a_batch_reaches_every_store_in_its_own_form() -> None:
    left, right = stores()
    waits = Waits()
    tables = plan(change("a"), change("b", status="archived")).tables
    assert apply(Fanout([left, right], waits), tables) == []
    assert (waits.held, waits.stayed) == ([], 0)
    assert left.read(LEFT, ["a", "b"])["a"].body == {"title": "청년 창업 특례 보증"}
    assert right.read(RIGHT, ["a", "b"])["a"].body == {"interest_rate": 2.5}
    assert set(left.stamps(LEFT, ["a", "b"])) == {"a"}


def test_a_row_that_one_view_cannot_hold_is_kept_from_all_stores() -> None:
    made = plan(change("a", interest_rate="NAN"), change("b"))
    assert (made.letters, made.failing) == ([], 1)
    left, right = stores()
    (letter,) = apply(Fanout([left, right], Waits()), made.tables)
    assert "interest_rate: nan is not a finite number" in letter.reason
    assert (letter.stage, letter.code) == ("project", "DP_2001")
    assert letter.outcomes == {"left": "skipped", "right": "skipped"}
    assert set(left.stamps(LEFT, ["a", "b"])) == set(right.stamps(RIGHT, ["a", "b"])) == {"b"}


def test_a_row_of_which_a_value_did_not_travel_is_read_again_after_its_transaction() -> None:
    made = plan(change("a", title="__debezium_unavailable_value", xid=77), change("b"))
    (table,) = made.tables
    assert (made.letters, set(table.wanted[LEFT]), set(table.wanted[RIGHT])) == ([], {"b"}, {"b"})
    (refresh,) = table.refreshes.values()
    assert (refresh.key, refresh.values, refresh.stores) == ("a", {"policy_id": "a"}, None)
    assert refresh.xids == {77}
    assert not refresh.force


def test_a_newer_whole_change_is_enough_where_a_value_did_not_travel() -> None:
    made = plan(change("a", title="__debezium_unavailable_value", commit=100), change("a", commit=101))
    assert made.tables[0].refreshes == {}
    assert set(made.tables[0].wanted[LEFT]) == {"a"}


def test_a_row_of_a_later_snapshot_is_read_again_and_replaces_no_change_of_the_stream() -> None:
    streamed = change("a", commit=100, title="streamed")
    read = change("a", op=Op.READ, commit=100, xid=None, title="read before that")
    made = plan(streamed, read)
    assert made.tables[0].changes == {"a": [streamed]}
    assert not made.tables[0].refreshes["a"].xids


def test_a_row_of_the_initial_snapshot_is_written_as_it_is() -> None:
    made = plan(change("a", op=Op.READ, commit=None))
    assert made.tables[0].refreshes == {}
    assert set(made.tables[0].wanted[LEFT]) == {"a"}


def test_poison_becomes_a_letter_and_the_rest_goes_on() -> None:
    bad = message(b"junk", offset=5)
    made = plan(Poison(bad, DecodeError("junk")), None, change("a"))
    (letter,) = made.letters
    assert (letter.message, letter.stage, letter.code) == (bad, "decode", "DP_1004")
    assert set(made.tables[0].changes) == {"a"}


@dataclass
class Flaky(MemoryStore):
    """Takes a write, then says that it is unavailable, some times: as after a lost answer."""

    times: int = 3

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        outcomes = super().apply(view, writes)
        if self.times:
            self.times -= 1
            raise Unavailable(self.name, "answer lost")
        return outcomes


def test_a_store_that_is_away_is_waited_for_while_the_other_keeps_what_it_took() -> None:
    left, _ = stores()
    right = Flaky("right")
    right.ensure(RIGHT)
    waits = Waits()
    assert apply(Fanout([left, right], waits), plan(change("a")).tables) == []
    assert set(left.stamps(LEFT, ["a"])) == set(right.stamps(RIGHT, ["a"])) == {"a"}
    assert 1 <= len(waits.held) <= 3
    assert all(0 <= seconds <= 10 for seconds in waits.held)


class Dead(MemoryStore):
    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        raise Unavailable(self.name, "refused")


def test_waiting_ends_when_the_partitions_are_lost() -> None:
    left, _ = stores()
    dead = Dead("right")
    dead.ensure(RIGHT)
    with pytest.raises(AssignmentLost):
        apply(Fanout([left, dead], Lost()), plan(change("a")).tables)


@dataclass
class Slow(MemoryStore):
    """Takes a write as soon as somebody waits for it."""

    go: Event = field(default_factory=Event)
    done: bool = False

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        self.go.wait()
        outcomes = super().apply(view, writes)
        self.done = True
        return outcomes


def test_while_a_store_is_slow_the_consumer_is_polled_and_the_other_is_done_already() -> None:
    left, _ = stores()
    slow = Slow("right")
    slow.ensure(RIGHT)

    class Polling(Waits):
        def stay(self, calls: Collection[Future[Any]]) -> None:
            assert set(left.stamps(LEFT, ["a"])) == {"a"}
            assert [call.done() for call in calls] == [True, False]
            slow.go.set()

    assert apply(Fanout([left, slow], Polling()), plan(change("a")).tables) == []
    assert slow.done


def test_an_abandoned_batch_leaves_no_call_running() -> None:
    slow = Slow("right")
    slow.ensure(RIGHT)
    left, _ = stores()

    class LostMeanwhile(Lost):
        def stay(self, calls: Collection[Future[Any]]) -> None:
            slow.go.set()
            raise AssignmentLost

    with pytest.raises(AssignmentLost):
        apply(Fanout([left, slow], LostMeanwhile()), plan(change("a")).tables)
    assert slow.done


def test_what_is_done_meanwhile_is_done_once_while_the_stores_are_at_work() -> None:
    left, slow, done = stores()[0], Slow("right"), list[bool]()
    slow.ensure(RIGHT)
    flaky = Flaky("left")
    flaky.ensure(LEFT)

    def meanwhile() -> None:
        done.append(slow.done)
        slow.go.set()

    for store in (left, flaky):
        Saga(Fanout([store, slow], Waits()), epoch=0).apply(plan(change("a")).tables, meanwhile)
        assert set(store.stamps(LEFT, ["a"])) == set(slow.stamps(RIGHT, ["a"])) == {"a"}
    assert done == [False, True]


def test_partitions_lost_meanwhile_leave_no_call_running() -> None:
    slow = Slow("right")
    slow.ensure(RIGHT)

    def meanwhile() -> None:
        slow.go.set()
        raise AssignmentLost

    with pytest.raises(AssignmentLost):
        Saga(Fanout([stores()[0], slow], Waits()), epoch=0).apply(plan(change("a")).tables, meanwhile)
    assert slow.done


def test_a_letter_carries_the_original_headers_and_ours_as_text() -> None:
    bad = message(b"junk", offset=5, partition=3)
    (letter,) = plan(Poison(bad, DecodeError("나쁜 값"))).letters
    headers = letter_headers(letter, "group", 1_700_000_000_000)
    assert headers[0] == ("h", b"\x00v")
    ours = {name.removeprefix(PREFIX): value.decode() for name, value in headers[1:]}
    assert ours["topic"] == TOPIC
    assert (ours["partition"], ours["offset"], ours["group"]) == ("3", "5", "group")
    assert (ours["message"], ours["exception"], ours["stage"]) == ("나쁜 값", "DecodeError", "decode")
    assert ours["first.failed.at"] == "1700000000000"
    assert json.loads(ours["outcomes"]) == {}


def test_one_bad_record_alone_does_not_stop_the_processor() -> None:
    breaker = Breaker(ratio=0.5, run=100)
    breaker.check(1, 1)
    breaker.check(40, 20)


def test_a_batch_of_mostly_bad_records_stops_it_before_anything_is_written() -> None:
    with pytest.raises(TooManyDeadLetters, match="21 of 40"):
        Breaker(ratio=0.5, run=100).check(40, 21)


def test_bad_records_in_a_row_stop_it_over_many_small_batches() -> None:
    breaker = Breaker(ratio=0.5, run=10)
    for _ in range(9):
        breaker.check(1, 1)
        breaker.passed(1, 1)
    with pytest.raises(TooManyDeadLetters, match="10 in a row"):
        breaker.check(1, 1)
    breaker.passed(2, 1)  # one good record among them: the count begins again
    for _ in range(9):
        breaker.check(1, 1)
        breaker.passed(1, 1)


def test_many_bad_records_among_more_good_ones_do_not_stop_it() -> None:
    Breaker(ratio=0.5, run=100).check(500, 100)


def test_what_is_attempted_leaves_out_tombstones_and_replaced_changes() -> None:
    made = plan(None, change("a"), change("a", title="newer"), change("b", interest_rate="NAN"))
    assert made.attempted == 2


def test_messages_know_their_size_and_place() -> None:
    sized: Message = message(b"12345", key="k", offset=9)
    assert str(sized) == f"{TOPIC}/0/9"
    assert sized.size == len(b'{"policy_id": "k"}') + 5
