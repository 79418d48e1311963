"""The reconciler's second look at one record, step by step, around the verdict of reconciler/verdict.py."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, IntEnum
from typing import NamedTuple

from processor.decide import Now
from processor.snapshot import Snapshot
from processor.stamp import XID_LIMIT, Stamp
from reconciler import verdict
from reconciler.verdict import RowVersion, Span, Verdict
from tests.protocol import source as database
from tests.protocol.path import EPOCH, Limits, Path, fingerprint
from tests.protocol.source import Reading, Row, Source


class Fence(Enum):
    """What is waited for before the record is read."""

    FULL = "what was logged by the first read was emitted and consumed, then the commands were obeyed"
    STREAM = "the same, without the commands"
    LAG = "what had been emitted by the first read was consumed, then the commands were obeyed"
    NONE = "nothing"


class Procedure(NamedTuple):
    """How the recheck is done; the defaults are right.

    Attributes:
        reads_again: the row is read a second time.
        holders_again: that read also tells who holds the row by then.
        rules: what may be under way is not judged.
    """

    fence: Fence = Fence.FULL
    reads_again: bool = True
    holders_again: bool = True
    rules: bool = True


class Step(IntEnum):
    IDLE = 0
    MARKER = 1
    BEGUN = 2
    LOOKED = 3
    READ = 4
    FENCED = 5
    STORE_READ = 6
    LOOKED_AGAIN = 7
    DONE = 8


class Check(NamedTuple):
    """What the recheck knows by now. `until`: how many events, then commands, the fence waits for."""

    step: Step = Step.IDLE
    marker: int = 0
    begin: int = 0
    snapshot: Snapshot | None = None
    first: Reading | None = None
    until: int = 0
    record: Stamp | None = None
    verdict: Verdict | None = None


def moves(
    procedure: Procedure, limits: Limits, source: Source, path: Path, check: Check
) -> Iterator[tuple[str, Source, Check]]:
    """Its next step, if it has not to wait."""
    for name, after, found in _steps(procedure, limits, source, path, check):
        yield f"recheck: {name}", after, found


def _steps(
    procedure: Procedure, limits: Limits, source: Source, path: Path, check: Check
) -> Iterator[tuple[str, Source, Check]]:
    step = check.step
    if step is Step.IDLE:
        begun = database.begin(source)
        yield "marker", begun, Check(Step.MARKER, source.next_xid, begun.end)
    elif step is Step.MARKER:
        marked = database.end(database.log(source), check.marker)
        yield "marker committed", marked, check._replace(step=Step.BEGUN, marker=0)
    elif step is Step.BEGUN and limits.slow:
        yield "looks", source, check._replace(step=Step.LOOKED, snapshot=database.look(source))
    elif step in (Step.BEGUN, Step.LOOKED):
        first = database.read(source, check.snapshot or database.look(source), limits.joined)
        until = {Fence.LAG: path.emitted, Fence.NONE: 0}.get(procedure.fence, len(source.events))
        yield "reads the row", source, Check(Step.READ, 0, check.begin, None, first, until)
    elif step is Step.READ and path.committed >= check.until:
        yield "stream fenced", source, check._replace(step=Step.FENCED, until=_open(procedure, path))
    elif step is Step.FENCED and path.obeyed >= check.until:
        yield "reads the record", source, check._replace(step=Step.STORE_READ, record=path.record)
    elif step is Step.STORE_READ and limits.slow:
        yield "looks again", source, check._replace(step=Step.LOOKED_AGAIN, snapshot=database.look(source))
    elif step in (Step.STORE_READ, Step.LOOKED_AGAIN):
        second = database.read(source, check.snapshot or database.look(source), limits.joined)
        said = _judge(procedure, check, second)
        yield f"reads the row again: {said}", source, Check(Step.DONE, verdict=said)


def _open(procedure: Procedure, path: Path) -> int:
    """How many commands have to be obeyed; 0 when they are already."""
    waits = procedure.fence in (Fence.FULL, Fence.LAG) and path.obeyed < len(path.commands)
    return len(path.commands) if waits else 0


def _judge(procedure: Procedure, check: Check, second: Reading) -> Verdict:
    assert check.first is not None
    row, record = check.first.row, check.record
    shown = None if row is None else fingerprint(row.value)
    equal = shown == (None if record is None else record.contents)
    if not procedure.rules:
        return Verdict.OK if equal else _difference(shown, record)
    again = second.row if procedure.reads_again else row
    if row and again and not procedure.holders_again:
        again = again._replace(xmax=row.xmax)
    now = Now(EPOCH, second.end, second.snapshot)
    span = Span(check.begin, check.first.snapshot, now)
    return verdict.judge(_version(row), _version(again), record, equal, span)


def _difference(shown: str | None, record: Stamp | None) -> Verdict:
    if record is None:
        return Verdict.MISSING
    return Verdict.ORPHAN if shown is None else Verdict.STALE


def _version(row: Row | None) -> RowVersion | None:
    return None if row is None else RowVersion(fingerprint(row.value), row.xmin % XID_LIMIT, row.xmax)
