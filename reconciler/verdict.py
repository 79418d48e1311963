"""The verdict on one record: pure, and the one place that may call something drift.

It is given two reads of the row with a fence between them, and the record as the store showed it after the
fence. Why one comparison is not enough, in steps:

1. A read of PostgreSQL shows the row as it was; its next change is committed a moment later.
2. The store is read: it has that change already (or not yet).
3. They differ, and nothing is wrong.

So whatever may still be on its way, in either direction, is `HOT`: it is looked at again, never reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from processor.decide import Now
from processor.snapshot import Snapshot
from processor.stamp import Stamp


class Verdict(StrEnum):
    """What is to be said of a record."""

    OK = "ok"
    MISSING = "missing"
    ORPHAN = "orphan"
    STALE = "stale"
    CORRUPT_STAMP = "corrupt_stamp"
    HOT = "hot"


@dataclass(frozen=True, slots=True)
class RowVersion:
    """A row as one snapshot shows it.

    Attributes:
        fp: fingerprint of the columns that the view uses; None while the row is not to be shown.
        xmin: 32-bit transaction that wrote this version.
        xmax: 32-bit number of whoever deletes, replaces or locks it, or did in vain; 0 for nobody.
    """

    fp: str | None
    xmin: int
    xmax: int


@dataclass(frozen=True, slots=True)
class Span:
    """The time in which a record was judged.

    Attributes:
        begin: LSN, taken before the first read of the row, within a transaction that then committed.
        first: snapshot of the first read.
        now: the second read's: our epoch, the log's end after it, its snapshot.
    """

    begin: int
    first: Snapshot
    now: Now


def judge(
    first: RowVersion | None, second: RowVersion | None, record: Stamp | None, equal: bool, span: Span
) -> Verdict:
    """Judge a record; None stands for no row, and for no record.

    Between the reads a fence was passed: the store showed every transaction whose commit lies before the end
    of the first read, when the record was read.

    Args:
        first: the row before the record was read.
        second: the row after it.
        record: the record's stamp.
        equal: whether the record shows `first` as it should; absent is right for a row not to be shown.
        span: when.
    """
    # first of all: under such a stamp a record would be "hot" for ever
    if record is not None and _is_impossible(record, equal, span.now):
        return Verdict.CORRUPT_STAMP
    if equal:
        return Verdict.OK
    if _identity(first) != _identity(second) or _may_move(first, second, record, span):
        return Verdict.HOT
    if record is None:
        return Verdict.MISSING
    return Verdict.ORPHAN if first is None or first.fp is None else Verdict.STALE


def _is_impossible(record: Stamp, equal: bool, now: Now) -> bool:
    """A right record may be older than 2**31 transactions; of another, that number would be hot for ever."""
    return now.is_unheard_of(record) if equal else now.is_impossible(record)


def _identity(row: RowVersion | None) -> tuple[int, str | None] | None:
    """A joined row changes without a new version of its own: so the fingerprint counts as well."""
    return None if row is None else (row.xmin, row.fp)


def _may_move(first: RowVersion | None, second: RowVersion | None, record: Stamp | None, span: Span) -> bool:
    """Whether the record, or its absence, may come of a change that the first read could not see."""
    if record is not None:
        # >=: a stamp names the commit before the change's own
        newer = record.seen >= span.begin
        return newer or (record.xid is not None and not span.first.shows(record.xid))
    if first is None or second is None:
        return False
    # a delete reaches the store before it becomes visible: all that can be seen of it is somebody in xmax
    if second.xmax != first.xmax:
        return True
    # it may be a subtransaction's number, or a group's: so all that ran at the first read must have ended
    return first.xmax != 0 and span.now.snapshot.xmin < span.first.following
