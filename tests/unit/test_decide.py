"""The decisions that every guarantee rests on, and the change in each that would break one."""

from __future__ import annotations

import dataclasses
import random

from hypothesis import given
from hypothesis import strategies as st

from processor.change import Op
from processor.decide import Wanted, collapse, decide, renew, want
from processor.refresh import Refresh
from processor.stamp import Stamp, make_version
from processor.stores.base import Held, Put, Remove, Restamp
from processor.stores.memory import MemoryStore
from processor.tables.base import FieldType, View
from processor.writer import bring
from tests.unit.samples import POLICIES, change

VIEW = POLICIES.view("elasticsearch")
EPOCHS = (0, 3)


def stamp(version: int, fp: str = "a", xid: int | None = 1) -> Stamp:
    return Stamp(version, version, xid, fp)


def test_what_is_not_there_is_created_and_what_is_not_wanted_stays_away() -> None:
    wanted = Wanted("k", stamp(5), {"x": 1})
    assert decide(wanted, None) == Put("k", None, stamp(5), {"x": 1})
    assert decide(dataclasses.replace(wanted, body=None), None) is None


def test_an_older_change_never_overwrites_a_newer_record() -> None:
    held = Held(stamp(6), 1)
    assert decide(Wanted("k", stamp(5, "b"), {"x": 1}), held) is None
    assert decide(Wanted("k", stamp(5), None), held) is None


def test_the_second_change_of_a_transaction_wins_though_its_version_is_the_same() -> None:
    held = Held(stamp(5, "a"), 1)
    assert decide(Wanted("k", stamp(5, "b"), {"x": 2}), held) == Put("k", held, stamp(5, "b"), {"x": 2})
    assert decide(Wanted("k", stamp(5), None), held) == Remove("k", held)


def test_equal_contents_are_not_written_again_but_their_stamp_moves() -> None:
    held = Held(stamp(5, "a", xid=1), 1)
    newer = stamp(6, "a", xid=2)
    assert decide(Wanted("k", newer, {"x": 1}), held) == Restamp("k", held, newer)
    assert decide(Wanted("k", held.stamp, {"x": 1}), held) is None


def test_a_change_that_was_taken_back_still_drops_what_was_computed_between() -> None:
    held = Held(stamp(5, "a", xid=1), 1)
    stale = frozenset({"policies:region:26"})
    wanted = Wanted("k", stamp(6, "a", xid=2), {"x": 1}, invalidates=stale)
    assert decide(wanted, held) == Put("k", held, wanted.stamp, {"x": 1}, invalidates=stale)


def test_entries_of_a_record_that_expired_are_dropped_with_its_row() -> None:
    stale = frozenset({"policies:region:26"})
    assert decide(Wanted("k", stamp(6), None, invalidates=stale), None) == Remove("k", None, stale)


def test_what_readers_may_be_about_to_make_is_removed_also_where_nothing_is() -> None:
    gone = Wanted("k", stamp(6), None, filled=True)
    asked = Refresh(change("k").message, "k", {"policy_id": "k"}, {})
    assert decide(gone, None) == renew("redis", gone, None, asked) == Remove("k", None)
    assert decide(dataclasses.replace(gone, filled=False), None) is None
    assert renew("redis", dataclasses.replace(gone, filled=False), None, asked) is None


def test_a_new_epoch_outranks_every_position_of_the_old_one() -> None:
    old = Held(stamp(make_version(0, 2**54 - 1)), 1)
    assert decide(Wanted("k", stamp(make_version(1, 5), "b"), {"x": 2}), old) is not None
    assert (
        decide(Wanted("k", stamp(make_version(0, 5), "b"), {"x": 2}), Held(stamp(make_version(1, 0)), 1))
        is None
    )


def test_of_several_changes_of_a_key_the_newest_counts_and_of_equal_ones_the_last() -> None:
    first, second = change(commit=100, title="1"), change(commit=100, title="2")
    late_duplicate = change(commit=90, title="0")
    assert collapse([first, second, late_duplicate]) == {"POL-1": [late_duplicate, first, second]}


def test_a_change_is_projected_with_its_stamp() -> None:
    wanted = want(POLICIES, VIEW, change(commit=100, lsn=120, xid=7), epoch=3)
    assert wanted.stamp.version == make_version(3, 100)
    assert (wanted.stamp.seen, wanted.stamp.xid) == (100, 7)
    assert wanted.body is not None
    assert wanted.body["interest_rate"] == 2.5
    assert wanted.body["application_start_date"] == "2025-01-01"
    assert wanted.body["created_at"] == "2025-01-01T00:00:00.000001Z"
    assert "raw_data" not in wanted.body


def test_a_snapshot_row_carries_no_transaction_and_the_lowest_version_of_its_epoch() -> None:
    wanted = want(POLICIES, VIEW, change(op=Op.READ, commit=None, lsn=120, xid=7), epoch=3)
    assert wanted.stamp == Stamp(make_version(3, 0), 120, None, wanted.stamp.fp)


def test_a_change_that_began_before_the_snapshot_and_committed_after_it_wins() -> None:
    """Seen on the real connector: r with [null, 996004832], then u with [null, 996004648]."""
    read = change(op=Op.READ, commit=None, lsn=996004832, title="old")
    update = change(commit=None, lsn=996004648, title="new")
    assert collapse([read, update]) == {"POL-1": [read, update]}
    held = Held(want(POLICIES, VIEW, read, epoch=0).stamp, 1)
    assert isinstance(decide(want(POLICIES, VIEW, update, epoch=0), held), Put)


def test_a_row_of_a_new_snapshot_replaces_what_an_earlier_stream_left() -> None:
    streamed = change(commit=500, title="from an earlier connector")
    read = change(op=Op.READ, commit=None, lsn=900, title="as it is now")
    held = Held(want(POLICIES, VIEW, streamed, epoch=0).stamp, 1)
    assert isinstance(decide(want(POLICIES, VIEW, read, epoch=0), held), Put)
    assert collapse([streamed, read]) == {"POL-1": [read]}
    gone = change(op=Op.READ, commit=None, lsn=900, is_active=False)
    assert decide(want(POLICIES, VIEW, gone, epoch=0), held) == Remove("POL-1", held)


def test_a_policy_that_is_not_active_is_wanted_nowhere() -> None:
    for changes in ({"status": "archived"}, {"is_active": False}, {"status": "pending_validation"}):
        assert want(POLICIES, VIEW, change(**changes), epoch=0).body is None
    assert want(POLICIES, VIEW, change(op=Op.DELETE), epoch=0).body is None


def test_a_change_of_a_column_that_the_view_does_not_use_keeps_the_fingerprint() -> None:
    one = want(POLICIES, VIEW, change(source_record_id="1"), epoch=0)
    other = want(POLICIES, VIEW, change(source_record_id="2"), epoch=0)
    assert one.stamp.fp == other.stamp.fp


histories = st.lists(st.sampled_from(["a", "b", None]), min_size=1, max_size=8)


@given(histories, st.integers(0, 2**32), st.sampled_from(EPOCHS))
def test_any_cut_into_batches_and_any_redelivery_end_at_the_last_state(
    history: list[str | None], seed: int, epoch: int
) -> None:
    """At-least-once delivery: from any point the stream may begin again, at any cut into batches."""
    view = View(store="memory", name="v", fields={"title": FieldType.KEYWORD})
    store = MemoryStore()
    store.ensure(view)
    stream = [
        change(
            op=Op.DELETE if title is None else Op.UPDATE, commit=10 * (n // 2), xid=n // 2, title=title or ""
        )
        for n, title in enumerate(history)
    ]
    dice = random.Random(seed)  # noqa: S311
    position = 0
    for _ in range(4):
        position = dice.randint(0, position)
        while position < len(stream):
            size = dice.randint(1, 3)
            latest = collapse(stream[position : position + size])
            bring(store, view, {key: want(POLICIES, view, found[-1], epoch) for key, found in latest.items()})
            position = min(position + size, len(stream))
            if dice.random() < 0.2:
                break
    latest = collapse(stream[position:])
    bring(store, view, {key: want(POLICIES, view, found[-1], epoch) for key, found in latest.items()})
    record = store.read(view, ["POL-1"]).get("POL-1")
    assert (None if record is None else record.body["title"]) == history[-1]
