"""The way of a change to the store, and refreshes beside it: one owner of the key, with our own decisions.

The owner does one thing at a time. It may crash once; then what it had read of a refresh may still be written
late, where a record can be compared (an absent one cannot: see docs/guarantees.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from processor import decide
from processor.change import Change, Message, Op
from processor.change import Source as Place
from processor.refresh import Refresh
from processor.refresher import Refresher
from processor.snapshot import Snapshot
from processor.source import Reading as Rows
from processor.stamp import Stamp, make_version
from processor.stores.base import Held, Put, Restamp, Write
from processor.tables.base import FieldType, Projection, View
from tests.protocol import source as database
from tests.protocol.source import DELETE, FIRST_COMMIT, HIDDEN, Event, Reading, Source

EPOCH = 3
KEY = "1"
_TABLE = sa.Table(
    "items",
    sa.MetaData(),
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("shown", sa.Boolean, nullable=False),
)
VIEW = View("index", "items", {"name": FieldType.KEYWORD})
ITEMS = Projection(model=_TABLE, only_when={"shown": True}, views=(VIEW,))
_MESSAGE = Message("model.public.items", 0, 0, b"", b"", (), 0)
_COMMAND = Refresh(_MESSAGE, KEY, {"item_id": KEY}, {})


class Phase(IntEnum):
    """Of a refresh command: until its offset is committed it is open."""

    UNASKED = 0
    ASKED = 1
    LOOKED = 2
    READ = 3
    WRITTEN = 4
    DONE = 5


class Try(NamedTuple):
    """A refresh at work: the record as it was before the row was read, and as it shall be after."""

    held: Stamp | None
    snapshot: Snapshot | None = None
    written: Stamp | None = None


class Path(NamedTuple):
    """How far the stream has come, counted in events, and what the store shows."""

    record: Stamp | None
    emitted: int = 0
    applied: int = 0
    committed: int = 0
    crashes: int = 0
    phase: Phase = Phase.UNASKED
    refresh: Try | None = None
    locker: tuple[int, int] | None = None
    late: Try | None = None


class Limits(NamedTuple):
    """What may happen besides. `slow`: a snapshot and the read of the row in it are two steps."""

    crashes: int = 0
    refreshes: int = 0
    slow: bool = False
    late: bool = False


@cache
def row_of(value: str) -> dict[str, Any]:
    return {"item_id": KEY, "name": value, "shown": value != HIDDEN}


@cache
def fingerprint(value: str) -> str | None:
    """What the record of such a row bears; None: it has no record."""
    return None if value in (HIDDEN, DELETE) else ITEMS.fingerprint(VIEW, row_of(value))


def first_record(value: str | None) -> Stamp | None:
    """As the initial snapshot leaves it."""
    fp = None if value is None else fingerprint(value)
    return None if fp is None else Stamp(make_version(EPOCH, 0), FIRST_COMMIT, None, fp)


def moves(limits: Limits, source: Source, path: Path) -> Iterator[tuple[str, Path]]:
    if path.emitted < len(source.events):
        yield "emit", path._replace(emitted=path.emitted + 1)
    if path.phase not in (Phase.LOOKED, Phase.READ):
        for count in range(1, min(2, path.emitted - path.applied) + 1):
            until = path.applied + count
            record = _applied(source.events[path.applied : until], path.record)
            yield f"apply {count}", path._replace(record=record, applied=until)
    if path.committed < path.applied:
        yield "commit offset", path._replace(committed=path.applied)
    if path.crashes < limits.crashes:
        yield "crash", _crashed(limits, path)
    if path.late is not None:
        # refused if the record is another by now
        record = path.late.written if path.record == path.late.held else path.record
        yield "late write", path._replace(record=record, late=None)
    if limits.refreshes:
        yield from _refresh_moves(limits, source, path)


def is_open(path: Path) -> bool:
    """Whether a refresh was asked for and is not done."""
    return path.phase not in (Phase.UNASKED, Phase.DONE)


def is_quiet(source: Source, path: Path) -> bool:
    """Nothing is under way."""
    ends = {len(source.events), path.emitted, path.applied, path.committed}
    return not source.running and len(ends) == 1 and not is_open(path) and path.late is None


def _refresh_moves(limits: Limits, source: Source, path: Path) -> Iterator[tuple[str, Path]]:
    if path.phase is Phase.UNASKED:
        yield "ask", path._replace(phase=Phase.ASKED)
    elif path.phase is Phase.ASKED and limits.slow:
        looked = Try(path.record, database.look(source))
        yield "refresh looks", path._replace(phase=Phase.LOOKED, refresh=looked)
    elif path.phase is Phase.ASKED:
        yield "refresh reads", _read(path, Try(path.record), database.read(source, database.look(source)))
    elif path.phase is Phase.LOOKED and path.refresh and path.refresh.snapshot:
        yield "refresh reads", _read(path, path.refresh, database.read(source, path.refresh.snapshot))
    elif path.phase is Phase.READ and path.refresh:
        yield "refresh writes", _written(path, path.refresh)
    elif path.phase is Phase.WRITTEN:
        yield "commit command", path._replace(phase=Phase.DONE)


def _applied(events: tuple[Event, ...], record: Stamp | None) -> Stamp | None:
    history = decide.collapse(_change(event) for event in events)[KEY]
    wanted = decide.want(ITEMS, VIEW, history[-1], EPOCH)
    return _after(decide.decide(wanted, _held(record)), record)


@cache
def _change(event: Event) -> Change:
    gone = event.value == DELETE
    op = Op.DELETE if gone else Op.UPDATE
    after = None if gone else row_of(event.value)
    place = Place(event.position + 1, event.position, event.xid)
    return Change(_MESSAGE, "items", KEY, {"item_id": KEY}, op, None, after, place)


def _crashed(limits: Limits, path: Path) -> Path:
    """What was not committed comes again."""
    late = path.refresh if limits.late and path.phase is Phase.READ else None
    return path._replace(
        applied=path.committed,
        crashes=path.crashes + 1,
        phase=Phase.ASKED if is_open(path) else path.phase,
        refresh=None,
        locker=None,
        late=late if late and late.held else None,
    )


def _read(path: Path, started: Try, reading: Reading) -> Path:
    """The row is read; or it is left open, because the read may have been too early."""
    refresher = Refresher(None, None, EPOCH)  # type: ignore[arg-type]  # asks no server here
    place = (ITEMS.name, KEY)
    if path.locker:
        refresher._lockers[place] = path.locker
    held, row = _held(started.held), reading.row
    rows = {KEY: row_of(row.value)} if row else {}
    lockers = {KEY: row.xmax} if row else {}
    rows_read = Rows(rows, lockers, reading.snapshot, reading.end)
    hidden = refresher._is_hidden(ITEMS, _COMMAND, [held], rows_read)
    path = path._replace(locker=refresher._lockers.get(place))
    if hidden:
        return path._replace(phase=Phase.ASKED, refresh=None)
    now = decide.Now(EPOCH, reading.end, reading.snapshot)
    wanted = decide.want_row(ITEMS, VIEW, rows.get(KEY), _COMMAND, held, now)
    written = _after(decide.renew(VIEW.store, wanted, held, _COMMAND), started.held)
    return path._replace(phase=Phase.READ, refresh=Try(started.held, None, written))


def _written(path: Path, refresh: Try) -> Path:
    """A lost race is tried again."""
    if path.record != refresh.held:
        return path._replace(phase=Phase.ASKED, refresh=None)
    return path._replace(phase=Phase.WRITTEN, refresh=None, record=refresh.written)


def _held(record: Stamp | None) -> Held | None:
    return None if record is None else Held(record, record)


def _after(write: Write | None, record: Stamp | None) -> Stamp | None:
    if write is None:
        return record
    return write.stamp if isinstance(write, Put | Restamp) else None
