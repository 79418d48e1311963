"""What a run is made of: its pace, its walks through stores, bounds of stamps, exit codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.decide import Now
from processor.errors import ConfigurationError, Unavailable
from processor.snapshot import Snapshot
from processor.stamp import XID_LIMIT, Stamp, make_version
from processor.stores.base import Put
from processor.stores.memory import MemoryStore
from processor.tables.base import FieldType, View
from reconciler.bound import Bound
from reconciler.budget import Budget
from reconciler.counts import Counts, Finding, Kind
from reconciler.errors import StoppedEarly
from reconciler.records import MAX_AGE_SECONDS, RecordStream
from reconciler.report import PartReport, Plan, Report
from reconciler.shard import Shard
from reconciler.source import SourceReader
from reconciler.status import Standing
from reconciler.terminal import lines_of

VIEW = View("memory", "things", {"name": FieldType.KEYWORD})
STAMP = Stamp(1, 1, None, "f")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Waits(Event):
    """Lets the clock run instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0
        return self.is_set()


def test_rows_are_read_no_faster_than_asked() -> None:
    clock = Clock()
    budget = Budget(Waits(clock), rows_per_second=100, clock=clock)
    for _ in range(5):
        budget.spend(200)
    assert clock.now == pytest.approx(10)
    clock.now = 100  # slower by itself: nothing is owed, and nothing saved up
    budget.spend(50)
    assert clock.now == pytest.approx(100.5)


def test_a_run_ends_when_its_time_is_up_or_somebody_says_so() -> None:
    clock = Clock()
    budget = Budget(Waits(clock), max_seconds=5, clock=clock)
    budget.spend(10**9)
    clock.now = 5
    with pytest.raises(StoppedEarly, match="--max-seconds 5 are over"):
        budget.spend()
    stop = Event()
    stop.set()
    with pytest.raises(StoppedEarly, match="told to stop"):
        Budget(stop).spend()


class Counting(MemoryStore):
    """Counts its scans; shows each what it held at the beginning."""

    scans = 0

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
        self.scans += 1
        return iter(list(super().scan(view, after)))


def filled(*keys: str) -> Counting:
    store = Counting("memory")
    store.ensure(VIEW)
    store.apply(VIEW, [Put(key, None, STAMP, {}) for key in keys])
    return store


def names(stream: RecordStream, upto: str | None) -> list[str]:
    return [key for key, _ in stream.upto(upto)]


def test_a_walk_goes_range_by_range_through_one_scan() -> None:
    store, clock = filled("a", "b", "c", "d", "e"), Clock()
    stream = RecordStream(store, VIEW, None, clock)
    assert [names(stream, key) for key in ("b", "b", "ca", None, None)] == [
        ["a", "b"],
        [],
        ["c"],
        ["d", "e"],
        [],
    ]
    assert store.scans == 1


def test_a_walk_begins_behind_a_key_and_a_scan_grown_old_behind_the_last() -> None:
    store, clock = filled("a", "b", "c", "e"), Clock()
    stream = RecordStream(store, VIEW, "a", clock)
    assert names(stream, "b") == ["b"]
    store.apply(VIEW, [Put("d", None, STAMP, {})])
    clock.now = MAX_AGE_SECONDS + 1
    assert names(stream, None) == ["c", "d", "e"]
    assert store.scans == 2


def test_a_scan_that_fails_does_not_look_like_one_that_has_ended() -> None:
    class Failing(Counting):
        def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
            yield from list(super().scan(view, after))[:2]
            raise Unavailable("memory", "gone")

    store = Failing("memory")
    store.ensure(VIEW)
    store.apply(VIEW, [Put(key, None, STAMP, {}) for key in "abc"])
    stream = RecordStream(store, VIEW, None)
    with pytest.raises(Unavailable):
        names(stream, None)


class Reader:
    """A log and transactions that go on."""

    def __init__(self, end: int, following: int) -> None:
        self.end, self.following, self.asked = end, following, 0

    def now(self, epoch: int) -> Now:
        self.asked += 1
        text = f"{self.following}:{self.following}:"
        return Now(epoch, self.end, Snapshot.parse(text, self.following % XID_LIMIT))


@given(
    st.integers(0, 2**40),
    st.integers(3, 2**34),
    st.integers(0, 3),
    st.builds(
        Stamp,
        st.integers(0, 2**56),
        st.integers(0, 2**41),
        st.none() | st.integers(0, XID_LIMIT - 1),
        st.just("f"),
    ),
)
def test_a_bound_says_of_a_stamp_what_the_verdict_will_say(
    end: int, following: int, epoch: int, stamp: Stamp
) -> None:
    reader = Reader(end, following)
    bound = Bound(cast(SourceReader, reader), epoch)
    assert bound.is_beyond(stamp) is reader.now(epoch).is_unheard_of(stamp)


def test_a_bound_moves_on_with_traffic_and_asks_only_in_doubt() -> None:
    reader = Reader(end=100, following=50)
    bound = Bound(cast(SourceReader, reader), 3)
    fine = Stamp(make_version(3, 100), 100, 49, "f")
    assert not any(bound.is_beyond(fine) for _ in range(100))
    assert reader.asked == 1
    reader.end, reader.following = 200, 60
    assert not bound.is_beyond(replace(fine, seen=200, xid=59))
    assert reader.asked == 2
    assert bound.is_beyond(replace(fine, seen=201))


@pytest.mark.parametrize("text", ["", "1", "2/2", "-1/2", "a/b", "0/0", "1/2/3", " 1/2"])
def test_a_share_is_written_as_number_and_count(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not i/n with i below n"):
        Shard.parse(text)
    assert str(Shard.parse("1/2")) == "1/2"


NOW = datetime(2026, 1, 2, tzinfo=UTC)


def report(*parts: PartReport) -> Report:
    stores = {f"store{n}": part for n, part in enumerate(parts)}
    return Report("run", 0x10ABC, NOW, {"things": stores})


RIGHT = PartReport(Counts(keys=3))
DRIFT = PartReport(Counts(keys=3, stale=1))
HOT = PartReport(Counts(keys=3, unverified=1))
AWAY = PartReport(Counts(), "store: gone", "start it", 3)
HEALED = PartReport(Counts(keys=3, stale=1, missing=1, repaired=2))
STOPPED = PartReport(Counts(keys=3), "told to stop", "again", 4, unfinished=True)


@pytest.mark.parametrize(
    ("parts", "code", "verdict"),
    [
        ([RIGHT, RIGHT], 0, "consistent as of 0/10ABC"),
        ([RIGHT, DRIFT], 1, "drift as of 0/10ABC: 1 record is not as PostgreSQL has it"),
        (
            [PartReport(Counts(keys=3, dead_lettered=2))],
            1,
            "drift as of 0/10ABC: 2 records are not",
        ),
        ([RIGHT, HOT], 3, "not verified as of 0/10ABC"),
        ([RIGHT, AWAY], 3, "not verified as of 0/10ABC"),
        ([DRIFT, AWAY, HOT], 1, "drift as of 0/10ABC"),
        ([DRIFT, STOPPED], 4, "stopped before the end"),
        ([RIGHT, HEALED], 2, "repaired: 2 records are as PostgreSQL has it again"),
        ([HEALED, DRIFT], 1, "drift as of 0/10ABC: 1 record is not"),
        ([HEALED, HOT], 3, "not verified as of 0/10ABC"),
    ],
)
def test_the_exit_code_says_the_most_pressing(parts: list[PartReport], code: int, verdict: str) -> None:
    made = report(*parts)
    assert made.exit_code == code
    assert made.verdict().startswith(verdict)
    assert made.unfinished == (STOPPED in parts)
    assert made.to_json()["exit_code"] == code


def test_what_is_right_is_what_was_compared_without_all_that_is_not() -> None:
    counts = Counts(
        keys=20, absent=4, missing=1, orphan=2, stale=3, corrupt_stamp=1, dead_lettered=1, unverified=2
    )
    assert counts.ok == 6
    json: Any = report(PartReport(counts)).to_json()["tables"]["things"]["store0"]
    assert json["ok"] == 6
    assert "keys" not in json


def test_a_person_reads_kind_key_store_and_age() -> None:
    made = report(PartReport(Counts(keys=50, stale=39, unverified=1)))
    ages = [timedelta(0), timedelta(seconds=50), timedelta(minutes=61), timedelta(days=2)]
    made.findings = [
        Finding("things", "store0", f"k{n}", Kind.CORRUPT_STAMP, NOW - age) for n, age in enumerate(ages)
    ]
    assert [line.rpartition("since ")[2] for line in lines_of(made, NOW)[:-2]] == [
        "now",
        "50 s",
        "1 h",
        "2 d",
    ]
    assert lines_of(made, NOW)[0] == "corrupt stamp: things k0 in store0, since now"
    made.findings *= 10
    assert lines_of(made, NOW)[-2] == "and 20 more (--json)"
    assert lines_of(made, NOW)[-1].startswith("next, corrupt stamp: aegis reconcile repair --apply")


def test_a_refused_repair_says_so_and_what_is_left() -> None:
    made = report(DRIFT)
    made.plans["things"] = Plan(False, 3, 20, "20 of 40 records would be removed")
    assert (made.exit_code, made.unfinished) == (4, False)
    assert made.verdict() == "repair refused, see above; 1 record is not as PostgreSQL has it"
    assert lines_of(made, NOW)[0] == "things: not repaired: 20 of 40 records would be removed"
    assert made.to_json()["plans"]["things"]["deletes"] == 20


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        (Plan(True, 1200, 3), "things: 1,200 rows read again, 3 records removed"),
        (
            Plan(False, 2, 0),
            "things: 2 rows would be read again, 0 records would be removed (--apply to do it)",
        ),
    ],
)
def test_a_person_reads_what_a_repair_does(plan: Plan, line: str) -> None:
    made = report(DRIFT)
    made.plans["things"] = plan
    assert lines_of(made, NOW)[0] == line


def standing(*findings: Finding, hours: float | None) -> Standing:
    at = None if hours is None else NOW - timedelta(hours=hours)
    return Standing({("things", "store0"): at}, findings, [], NOW, timedelta(hours=26))


@pytest.mark.parametrize(
    ("given", "code", "verdict"),
    [
        (standing(hours=25), 0, "right: every table was found so in every store within 26 h"),
        (standing(hours=27), 3, "not found right within 26 h: things in store0"),
        (standing(hours=None), 3, "not found right within 26 h: things in store0"),
        (
            standing(Finding("things", "store0", "k", Kind.STALE, NOW - timedelta(hours=3)), hours=2),
            1,
            "drift: 1 record is known to be wrong, the first since 3 h",
        ),
        (
            standing(Finding("things", "store0", "k", Kind.UNVERIFIED, NOW - timedelta(hours=3)), hours=2),
            0,
            "right: ",
        ),
    ],
)
def test_how_things_stand_has_an_exit_code_of_its_own(given: Standing, code: int, verdict: str) -> None:
    assert given.exit_code == code
    assert given.verdict().startswith(verdict)
