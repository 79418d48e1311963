"""The verdict, rule by rule; tests/protocol explores all of them together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from processor.decide import Now
from processor.snapshot import Snapshot
from processor.stamp import Stamp, make_version
from reconciler.verdict import RowVersion, Span, Verdict, judge

BEGIN, END = 500, 1_000
# transactions below 100 had ended at the first read; 105 was the next. At the second read 100 had ended
FIRST = Snapshot.parse("100:100:", 105)
SECOND = Snapshot.parse("110:110:", 110)


def span(epoch: int = 0, second: Snapshot = SECOND) -> Span:
    return Span(BEGIN, FIRST, Now(epoch, END, second))


ROW = RowVersion("right", xmin=50, xmax=0)
HIDDEN = RowVersion(None, xmin=50, xmax=0)
OLD = Stamp(version=100, seen=100, xid=50, fp="other")


@pytest.mark.parametrize("epoch", [0, 3])
@pytest.mark.parametrize(
    ("row", "record", "verdict"),
    [
        (ROW, OLD, Verdict.STALE),
        (None, OLD, Verdict.ORPHAN),
        (HIDDEN, OLD, Verdict.ORPHAN),
        (ROW, None, Verdict.MISSING),
        (replace(ROW, xmax=90), None, Verdict.MISSING),  # whoever locked it ended long ago
        (ROW, replace(OLD, seen=BEGIN - 1), Verdict.STALE),
        (ROW, replace(OLD, seen=BEGIN), Verdict.HOT),
        (ROW, replace(OLD, xid=100), Verdict.HOT),
        (ROW, replace(OLD, xid=104), Verdict.HOT),
        (ROW, replace(OLD, xid=105), Verdict.HOT),  # began between the reads
        (ROW, replace(OLD, xid=None), Verdict.STALE),
    ],
)
def test_what_differs_is_judged_only_if_nothing_is_on_its_way(
    epoch: int, row: RowVersion | None, record: Stamp | None, verdict: Verdict
) -> None:
    if record is not None:
        record = replace(record, version=make_version(epoch, record.version))
    assert judge(row, row, record, False, span(epoch)) is verdict


@pytest.mark.parametrize(
    "second",
    [None, replace(ROW, xmin=101), replace(ROW, fp="joined rows changed"), replace(HIDDEN, xmin=50)],
)
@pytest.mark.parametrize("record", [None, OLD])
def test_a_row_that_changed_between_the_reads_is_looked_at_again(
    second: RowVersion | None, record: Stamp | None
) -> None:
    assert judge(ROW, second, record, False, span()) is Verdict.HOT
    if second is None:
        assert judge(second, ROW, record, False, span()) is Verdict.HOT


def test_a_row_without_a_record_waits_for_all_that_ran_when_somebody_is_at_it() -> None:
    locked = replace(ROW, xmax=100)
    still_running = Snapshot.parse("100:110:100", 110)
    assert judge(locked, locked, None, False, span(second=still_running)) is Verdict.HOT
    assert judge(locked, locked, None, False, span()) is Verdict.MISSING
    # deleted between the reads: in the log and in the store, but not visible yet
    assert judge(ROW, locked, None, False, span()) is Verdict.HOT


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize(
    "stamp",
    [
        replace(OLD, version=make_version(0, END + 1)),
        replace(OLD, version=make_version(1, 0)),
        replace(OLD, seen=END + 1),
        replace(OLD, xid=110),
    ],
)
def test_a_stamp_that_nothing_can_have_left_is_told_whatever_the_record_shows(
    stamp: Stamp, equal: bool
) -> None:
    assert judge(ROW, ROW, stamp, equal, span()) is Verdict.CORRUPT_STAMP


def test_what_is_equal_is_right_however_hot_it_is() -> None:
    assert judge(ROW, None, replace(OLD, seen=BEGIN, xid=104), True, span()) is Verdict.OK


def test_a_right_record_may_have_rested_for_more_transactions_than_numbers_can_order() -> None:
    """After 2**31 of them its number looks as if it were still to come; but it was given once."""
    late = (1 << 32) + (1 << 31) + 10
    snapshot = Snapshot.parse(f"{late}:{late}:", late % (1 << 32))
    ancient = Span(BEGIN, snapshot, Now(0, END, snapshot))
    stamp = replace(OLD, xid=(late + 5) % (1 << 32))
    assert snapshot.precedes(stamp.xid or 0)
    assert judge(ROW, ROW, stamp, True, ancient) is Verdict.OK
    # of a record that is wrong it may be told: else it would be hot for ever
    assert judge(ROW, ROW, stamp, False, ancient) is Verdict.CORRUPT_STAMP
