"""One suite that every store adapter passes: all that the processor relies on, and nothing more.

A store joins by one subclass that gives the `store` and `view` fixtures: see test_memory_store.py.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from processor.stamp import Stamp, make_version
from processor.stores.base import Applied, Held, LostRace, Put, Refused, Remove, Restamp, Store, Write
from processor.tables.base import FieldType, View

VIEW_FIELDS = {
    "name": FieldType.KEYWORD,
    "title": FieldType.KOREAN,
    "regions": FieldType.KEYWORDS,
    "amount": FieldType.LONG,
    "rate": FieldType.DOUBLE,
    "starts": FieldType.DATE,
    "changed": FieldType.TIMESTAMP,
    "active": FieldType.BOOLEAN,
    "link": FieldType.STORED,
}
HOSTILE_KEYS = [
    "plain",
    "it's",
    'say "so"',
    "back\\slash",
    "new\nline",
    "carriage\rreturn",
    'x"] or pk in ["y',
    "{}[]():/?#&=+,;%20 *",
    " leading and trailing ",
    "_id",
    ".",
    "..",
    "정책-서울",
    unicodedata.normalize("NFD", "정책-서울"),
    "🚀 emoji",
    "가" * 64,
    "a=1,b=2",
    "\u00a0nbsp",
    "\x01control",
]


def body(name: str = "first") -> dict[str, object]:
    """A record with every type of field."""
    return {
        "name": name,
        "title": f"청년 창업 특례 보증 {name}",
        "regions": ["11", "26"],
        "amount": 9_007_199_254_740_993,  # not exact as a double
        "rate": 2.5,
        "starts": "2025-01-01",
        "changed": "2025-01-01T00:00:00.123456Z",
        "active": True,
        "link": "https://example.org/?q=정책",
    }


class StoreConformance:
    """Inherit, and give `store` and `view`."""

    @pytest.fixture(params=[0, 3], ids=["epoch0", "epoch3"])
    def epoch(self, request: pytest.FixtureRequest) -> Iterator[int]:
        yield request.param

    def stamp(self, epoch: int, n: int = 1, fp: str = "0123456789abcdef") -> Stamp:
        lsn = (1 << 53) + n  # beyond what a double holds exactly
        return Stamp(make_version(epoch, lsn), lsn, (1 << 32) - n, fp)

    def put(self, key: str, expected: Held | None, stamp: Stamp, body: Mapping[str, object]) -> Put:
        """A Put as the store wants it; stores of vectors add one."""
        return Put(key, expected, stamp, body)

    def one(self, store: Store, view: View, write: Write) -> object:
        (outcome,) = store.apply(view, [write])
        return outcome

    def held(self, store: Store, view: View, key: str) -> Held:
        return store.stamps(view, [key])[key]

    def test_a_record_is_read_back_as_it_was_written(self, store: Store, view: View, epoch: int) -> None:
        stamp = self.stamp(epoch)
        assert self.one(store, view, self.put("k", None, stamp, body())) == Applied()
        record = store.read(view, ["k", "absent"])
        assert set(record) == {"k"}
        assert record["k"].body == body()
        assert record["k"].stamp == stamp
        assert self.held(store, view, "k").stamp == stamp

    def test_empty_values_are_kept_apart_from_each_other(self, store: Store, view: View) -> None:
        empty: dict[str, object] = {**dict.fromkeys(body()), "name": "", "regions": []}
        self.one(store, view, self.put("empty", None, self.stamp(0), empty))
        assert store.read(view, ["empty"])["empty"].body == empty

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_any_key_names_its_own_record_and_no_other(self, store: Store, view: View, key: str) -> None:
        for name in ("bystander", key):
            self.one(store, view, self.put(name, None, self.stamp(0), body(name)))
        assert store.read(view, [key])[key].body["name"] == key
        assert self.one(store, view, Remove(key, self.held(store, view, key))) == Applied()
        assert set(store.stamps(view, [key, "bystander"])) == {"bystander"}

    def test_removing_what_is_gone_ends_with_it_gone(self, store: Store, view: View) -> None:
        self.one(store, view, self.put("k", None, self.stamp(0), body()))
        before = self.held(store, view, "k")
        self.one(store, view, Remove("k", before))
        assert self.one(store, view, Remove("k", before)) in (Applied(), LostRace())
        assert store.stamps(view, ["k"]) == {}

    def test_a_record_may_come_back_after_its_removal(self, store: Store, view: View, epoch: int) -> None:
        self.one(store, view, self.put("k", None, self.stamp(epoch, 5), body("old")))
        self.one(store, view, Remove("k", self.held(store, view, "k")))
        lower = self.stamp(epoch, 4)  # stores compare records, versions are compared by the processor
        assert self.one(store, view, self.put("k", None, lower, body("new"))) == Applied()
        assert store.read(view, ["k"])["k"].body["name"] == "new"

    def test_restamping_moves_the_stamp_and_keeps_the_contents(
        self, store: Store, view: View, epoch: int
    ) -> None:
        self.one(store, view, self.put("k", None, self.stamp(epoch), body()))
        moved = self.stamp(epoch, 7)
        assert self.one(store, view, Restamp("k", self.held(store, view, "k"), moved)) == Applied()
        record = store.read(view, ["k"])["k"]
        assert (record.stamp, record.body) == (moved, body())

    def test_a_put_replaces_the_whole_record(self, store: Store, view: View) -> None:
        self.one(store, view, self.put("k", None, self.stamp(0), body()))
        changed = {**dict.fromkeys(body()), "name": "only"}
        self.one(store, view, self.put("k", self.held(store, view, "k"), self.stamp(0, 2), changed))
        assert store.read(view, ["k"])["k"].body == changed

    def test_one_bad_write_in_a_batch_leaves_the_others_alone(self, store: Store, view: View) -> None:
        long = self.put("x" * 70_000, None, self.stamp(0), body("too long"))
        good = [self.put(key, None, self.stamp(0), body(key)) for key in ("a", "b")]
        outcomes = store.apply(view, [good[0], long, good[1]])
        assert (outcomes[0], outcomes[2]) == (Applied(), Applied())
        assert isinstance(outcomes[1], Refused | Applied)
        names = {key: record.body["name"] for key, record in store.read(view, ["a", "b"]).items()}
        assert names == {"a": "a", "b": "b"}

    def test_removing_what_never_was_is_no_failure(self, store: Store, view: View) -> None:
        assert self.one(store, view, Remove("absent", None)) == Applied()
        assert store.stamps(view, ["absent"]) == {}

    def test_creates_changes_and_removals_go_together_in_one_batch(self, store: Store, view: View) -> None:
        for key in ("changed", "moved", "removed"):
            self.one(store, view, self.put(key, None, self.stamp(0), body(key)))
        held = store.stamps(view, ["changed", "moved", "removed"])
        late = self.stamp(0, 2)
        outcomes = store.apply(
            view,
            [
                Remove("removed", held["removed"]),
                self.put("created", None, late, body("created")),
                Restamp("moved", held["moved"], late),
                self.put("changed", held["changed"], late, body("again")),
            ],
        )
        assert outcomes == [Applied()] * 4
        records = store.read(view, ["created", "changed", "moved", "removed"])
        assert {key: record.body["name"] for key, record in records.items()} == {
            "created": "created",
            "changed": "again",
            "moved": "moved",
        }
        assert {record.stamp for record in records.values()} == {late}

    def test_a_scan_gives_every_key_once_in_byte_order(self, store: Store, view: View, epoch: int) -> None:
        keys = [*HOSTILE_KEYS, *(f"k{n}" for n in range(2_100))]
        stamps = {key: self.stamp(epoch, n) for n, key in enumerate(keys)}
        for start in range(0, len(keys), 500):
            chunk = keys[start : start + 500]
            outcomes = store.apply(view, [self.put(key, None, stamps[key], body(key)) for key in chunk])
            assert outcomes == [Applied()] * len(chunk)
        store.settle(view)
        assert store.count(view) == len(keys)
        scanned = list(store.scan(view))
        assert dict(scanned) == stamps
        assert all(a.encode() < b.encode() for (a, _), (b, _) in pairwise(scanned))
        for place in (0, 1, 5, 1_500, len(scanned) - 1):
            assert list(store.scan(view, scanned[place][0])) == scanned[place + 1 :]

    def test_an_empty_view_scans_to_nothing(self, store: Store, view: View) -> None:
        store.settle(view)
        assert list(store.scan(view)) == []

    def test_ensuring_twice_keeps_the_records(self, store: Store, view: View) -> None:
        self.one(store, view, self.put("k", None, self.stamp(0), body()))
        store.ensure(view)
        assert set(store.stamps(view, ["k"])) == {"k"}

    def test_no_keys_and_no_writes_are_fine(self, store: Store, view: View) -> None:
        assert store.stamps(view, []) == {}
        assert store.read(view, []) == {}
        assert store.apply(view, []) == []

    def test_a_store_that_is_up_answers_ping(self, store: Store) -> None:
        store.ping()


class CompareAndSetConformance(StoreConformance):
    """And for stores that write only if the record is still the one that was read."""

    def test_a_create_loses_against_a_record_that_is_there(
        self, store: Store, view: View, epoch: int
    ) -> None:
        self.one(store, view, self.put("k", None, self.stamp(epoch), body("winner")))
        assert self.one(store, view, self.put("k", None, self.stamp(epoch, 2), body("loser"))) == LostRace()
        assert store.read(view, ["k"])["k"].body["name"] == "winner"

    def test_a_write_loses_against_a_record_that_changed(self, store: Store, view: View, epoch: int) -> None:
        self.one(store, view, self.put("k", None, self.stamp(epoch), body("first")))
        before = self.held(store, view, "k")
        self.one(store, view, self.put("k", before, self.stamp(epoch, 2), body("second")))
        late = self.stamp(epoch, 3)
        losers: list[Write] = [self.put("k", before, late, body("late")), Restamp("k", before, late)]
        losers.append(Remove("k", before))
        for write in losers:
            assert self.one(store, view, write) == LostRace()
        assert store.read(view, ["k"])["k"].body["name"] == "second"
        assert self.held(store, view, "k").stamp == self.stamp(epoch, 2)

    def test_a_write_over_a_removed_record_loses(self, store: Store, view: View) -> None:
        self.one(store, view, self.put("k", None, self.stamp(0), body()))
        before = self.held(store, view, "k")
        self.one(store, view, Remove("k", before))
        assert self.one(store, view, self.put("k", before, self.stamp(0, 2), body())) == LostRace()
        assert self.one(store, view, Restamp("k", before, self.stamp(0, 2))) == LostRace()
        assert store.stamps(view, ["k"]) == {}

    def test_a_lost_race_in_a_batch_leaves_the_others_alone(self, store: Store, view: View) -> None:
        self.one(store, view, self.put("there", None, self.stamp(0), body("there")))
        puts = [self.put(key, None, self.stamp(0, 2), body("new")) for key in ("a", "there", "b")]
        assert store.apply(view, puts) == [Applied(), LostRace(), Applied()]
        names = {key: record.body["name"] for key, record in store.read(view, ["a", "b", "there"]).items()}
        assert names == {"a": "new", "b": "new", "there": "there"}

    def test_of_writers_at_the_same_time_exactly_one_wins(self, store: Store, view: View) -> None:
        def contend(expected: Held | None, version: int) -> list[object]:
            puts = [self.put("k", expected, self.stamp(0, version + n), body(f"{n}")) for n in range(8)]
            with ThreadPoolExecutor(len(puts)) as threads:
                return list(threads.map(lambda put: self.one(store, view, put), puts))

        for expected in (None, "what is there"):
            held = self.held(store, view, "k") if expected else None
            outcomes = contend(held, 100 if expected else 10)
            assert sorted(map(repr, outcomes)) == [repr(Applied())] + [repr(LostRace())] * 7
            winner = str(outcomes.index(Applied()))
            assert store.read(view, ["k"])["k"].body["name"] == winner
