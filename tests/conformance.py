"""One suite that every store adapter passes: all that the processor relies on, and nothing more.

A store joins by one subclass that gives the `store` and `view` fixtures: see test_memory_store.py.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise

import pytest

from processor.stamp import Stamp, make_version
from processor.stores.base import Applied, Held, LostRace, Put, Refused, Remove, Restamp, Store, Write
from processor.tables.base import FieldType, View

VIEW_FIELDS = {
    "name": FieldType.KEYWORD,
    "title": FieldType.KOREAN,
    "regions": FieldType.KEYWORD,
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

    def one(self, store: Store, view: View, write: Write) -> object:
        (outcome,) = store.apply(view, [write])
        return outcome

    def held(self, store: Store, view: View, key: str) -> Held:
        return store.stamps(view, [key])[key]

    def test_a_record_is_read_back_as_it_was_written(self, store: Store, view: View, epoch: int) -> None:
        stamp = self.stamp(epoch)
        assert self.one(store, view, Put("k", None, stamp, body())) == Applied()
        record = store.read(view, ["k", "absent"])
        assert set(record) == {"k"}
        assert record["k"].body == body()
        assert record["k"].stamp == stamp
        assert self.held(store, view, "k").stamp == stamp

    def test_empty_values_are_kept_apart_from_each_other(self, store: Store, view: View) -> None:
        empty: dict[str, object] = {**dict.fromkeys(body()), "name": "", "regions": []}
        self.one(store, view, Put("empty", None, self.stamp(0), empty))
        assert store.read(view, ["empty"])["empty"].body == empty

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_any_key_names_its_own_record_and_no_other(self, store: Store, view: View, key: str) -> None:
        for name in ("bystander", key):
            self.one(store, view, Put(name, None, self.stamp(0), body(name)))
        assert store.read(view, [key])[key].body["name"] == key
        assert self.one(store, view, Remove(key, self.held(store, view, key))) == Applied()
        assert set(store.stamps(view, [key, "bystander"])) == {"bystander"}

    def test_a_create_loses_against_a_record_that_is_there(
        self, store: Store, view: View, epoch: int
    ) -> None:
        self.one(store, view, Put("k", None, self.stamp(epoch), body("winner")))
        assert self.one(store, view, Put("k", None, self.stamp(epoch, 2), body("loser"))) == LostRace()
        assert store.read(view, ["k"])["k"].body["name"] == "winner"

    def test_a_write_loses_against_a_record_that_changed(self, store: Store, view: View, epoch: int) -> None:
        self.one(store, view, Put("k", None, self.stamp(epoch), body("first")))
        before = self.held(store, view, "k")
        self.one(store, view, Put("k", before, self.stamp(epoch, 2), body("second")))
        late = self.stamp(epoch, 3)
        losers: list[Write] = [Put("k", before, late, body("late")), Restamp("k", before, late)]
        losers.append(Remove("k", before))
        for write in losers:
            assert self.one(store, view, write) == LostRace()
        assert store.read(view, ["k"])["k"].body["name"] == "second"
        assert self.held(store, view, "k").stamp == self.stamp(epoch, 2)

    def test_a_write_over_a_removed_record_loses(self, store: Store, view: View) -> None:
        self.one(store, view, Put("k", None, self.stamp(0), body()))
        before = self.held(store, view, "k")
        self.one(store, view, Remove("k", before))
        assert self.one(store, view, Put("k", before, self.stamp(0, 2), body())) == LostRace()
        assert self.one(store, view, Restamp("k", before, self.stamp(0, 2))) == LostRace()
        assert store.stamps(view, ["k"]) == {}

    def test_removing_what_is_gone_ends_with_it_gone(self, store: Store, view: View) -> None:
        self.one(store, view, Put("k", None, self.stamp(0), body()))
        before = self.held(store, view, "k")
        self.one(store, view, Remove("k", before))
        assert self.one(store, view, Remove("k", before)) in (Applied(), LostRace())
        assert store.stamps(view, ["k"]) == {}

    def test_a_record_may_come_back_after_its_removal(self, store: Store, view: View, epoch: int) -> None:
        self.one(store, view, Put("k", None, self.stamp(epoch, 5), body("old")))
        self.one(store, view, Remove("k", self.held(store, view, "k")))
        lower = self.stamp(epoch, 4)  # stores compare records, versions are compared by the processor
        assert self.one(store, view, Put("k", None, lower, body("new"))) == Applied()
        assert store.read(view, ["k"])["k"].body["name"] == "new"

    def test_restamping_moves_the_stamp_and_keeps_the_contents(
        self, store: Store, view: View, epoch: int
    ) -> None:
        self.one(store, view, Put("k", None, self.stamp(epoch), body()))
        moved = self.stamp(epoch, 7)
        assert self.one(store, view, Restamp("k", self.held(store, view, "k"), moved)) == Applied()
        record = store.read(view, ["k"])["k"]
        assert (record.stamp, record.body) == (moved, body())

    def test_a_put_replaces_the_whole_record(self, store: Store, view: View) -> None:
        self.one(store, view, Put("k", None, self.stamp(0), body()))
        changed = {**dict.fromkeys(body()), "name": "only"}
        self.one(store, view, Put("k", self.held(store, view, "k"), self.stamp(0, 2), changed))
        assert store.read(view, ["k"])["k"].body == changed

    def test_one_bad_write_in_a_batch_leaves_the_others_alone(self, store: Store, view: View) -> None:
        self.one(store, view, Put("there", None, self.stamp(0), body("there")))
        outcomes = store.apply(
            view,
            [
                Put("a", None, self.stamp(0), body("a")),
                Put("there", None, self.stamp(0), body("loser")),
                Put("x" * 70_000, None, self.stamp(0), body("too long")),
                Put("b", None, self.stamp(0), body("b")),
            ],
        )
        assert [outcomes[0], outcomes[1], outcomes[3]] == [Applied(), LostRace(), Applied()]
        assert isinstance(outcomes[2], Refused | Applied)
        names = {key: record.body["name"] for key, record in store.read(view, ["a", "b", "there"]).items()}
        assert names == {"a": "a", "b": "b", "there": "there"}

    def test_a_scan_gives_every_key_once_in_byte_order(self, store: Store, view: View, epoch: int) -> None:
        keys = [*HOSTILE_KEYS, *(f"k{n}" for n in range(2_100))]
        stamps = {key: self.stamp(epoch, n) for n, key in enumerate(keys)}
        for start in range(0, len(keys), 500):
            chunk = keys[start : start + 500]
            outcomes = store.apply(view, [Put(key, None, stamps[key], body(key)) for key in chunk])
            assert outcomes == [Applied()] * len(chunk)
        store.settle(view)
        assert store.count(view) == len(keys)
        scanned = list(store.scan(view))
        assert dict(scanned) == stamps
        assert all(a.encode() < b.encode() for (a, _), (b, _) in pairwise(scanned))

    def test_an_empty_view_scans_to_nothing(self, store: Store, view: View) -> None:
        store.settle(view)
        assert list(store.scan(view)) == []

    def test_ensuring_twice_keeps_the_records(self, store: Store, view: View) -> None:
        self.one(store, view, Put("k", None, self.stamp(0), body()))
        store.ensure(view)
        assert set(store.stamps(view, ["k"])) == {"k"}

    def test_no_keys_and_no_writes_are_fine(self, store: Store, view: View) -> None:
        assert store.stamps(view, []) == {}
        assert store.read(view, []) == {}
        assert store.apply(view, []) == []

    def test_a_store_that_is_up_answers_ping(self, store: Store) -> None:
        store.ping()
