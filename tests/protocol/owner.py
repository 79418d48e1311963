"""Connector and owner of the key: changes and refreshes, with our own decisions.

The owner does one thing at a time, and commits offsets whenever it likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from processor import decide
from processor.change import Change, Message, Op
from processor.change import Source as Place
from processor.refresh import Refresh
from processor.refresher import Refresher
from processor.source import Reading as Rows
from tests.protocol import source as database
from tests.protocol.path import EPOCH, ITEMS, KEY, VIEW, Attempt, Limits, Path, Step, after, held, row_of
from tests.protocol.source import DELETE, Event, Reading, Source

_MESSAGE = Message("model.public.items", 0, 0, b"", b"", (), 0)


def moves(limits: Limits, source: Source, path: Path) -> Iterator[tuple[str, Path]]:
    """Every step that somebody between the log and the store can do now."""
    if path.emitted < len(source.events):
        yield "emit", path._replace(emitted=path.emitted + 1)
    if path.attempt is None or path.attempt.step is Step.WRITTEN:
        for count in range(1, min(2, path.emitted - path.applied) + 1):
            changed = _apply(limits, source.events[path.applied : path.applied + count], path)
            yield f"apply {count}", changed._replace(applied=path.applied + count)
    if path.committed < path.applied:
        yield "commit offset", path._replace(committed=path.applied)
    if path.crashes < limits.crashes:
        yield "crash", _crash(limits, path)
    if path.late is not None:
        # refused if the record is another by now
        record = path.late.written if path.record == path.late.held else path.record
        yield "late write", path._replace(record=record, late=None)
    if path.commands.count(None) < limits.refreshes:
        yield "ask", path._replace(commands=(*path.commands, None))
    if path.obeyed < len(path.commands):
        yield _refresh(limits, source, path)


def _apply(limits: Limits, events: tuple[Event, ...], path: Path) -> Path:
    if limits.joined:
        return path._replace(commands=(*path.commands, *(event.xid for event in events)))
    history = decide.collapse(_change(event) for event in events)[KEY]
    wanted = decide.want(ITEMS, VIEW, history[-1], EPOCH)
    write = decide.decide(wanted, held(path.record))
    return path._replace(record=after(write, path.record))


@cache
def _change(event: Event) -> Change:
    gone = event.value == DELETE
    op = Op.DELETE if gone else Op.UPDATE
    row = None if gone else row_of(event.value)
    place = Place(event.position + 1, event.position, event.xid)
    return Change(_MESSAGE, "items", KEY, {"item_id": KEY}, op, None, row, place)


def _crash(limits: Limits, path: Path) -> Path:
    """What was not committed comes again."""
    read = path.attempt if path.attempt and path.attempt.step is Step.READ and path.attempt.held else None
    return path._replace(
        applied=path.committed,
        crashes=path.crashes + 1,
        attempt=None,
        locker=None,
        late=read if limits.late else None,
    )


def _refresh(limits: Limits, source: Source, path: Path) -> tuple[str, Path]:
    attempt = path.attempt
    if attempt is None:
        attempt = Attempt(Step.LOOKED, path.record, len(path.commands), database.look(source))
        if limits.slow:
            return "refresh looks", path._replace(attempt=attempt)
    if attempt.step is Step.LOOKED and attempt.snapshot:
        reading = database.read(source, attempt.snapshot, limits.joined)
        return "refresh reads", _read(path, attempt, reading)
    if attempt.step is Step.WRITTEN:
        return "commit command", path._replace(obeyed=attempt.until, attempt=None)
    if path.record != attempt.held:
        return "refresh loses a race", path._replace(attempt=None)
    written = Attempt(Step.WRITTEN, None, attempt.until)
    return "refresh writes", path._replace(record=attempt.written, attempt=written)


def _read(path: Path, attempt: Attempt, reading: Reading) -> Path:
    """The row is read; or it is left open, because the read may have been too early."""
    causes = frozenset(xid for xid in path.commands[path.obeyed : attempt.until] if xid is not None)
    refresh = Refresh(_MESSAGE, KEY, {"item_id": KEY}, {}, xids=causes)
    refresher = Refresher(None, None, EPOCH)  # type: ignore[arg-type]  # asks no server here
    place = (ITEMS.name, KEY)
    if path.locker:
        refresher._lockers[place] = path.locker
    there, row = held(attempt.held), reading.row
    rows = {KEY: row_of(row.value)} if row else {}
    lockers = {KEY: row.xmax} if row else {}
    is_hidden = refresher._is_hidden(
        ITEMS, refresh, [there], Rows(rows, lockers, reading.snapshot, reading.end)
    )
    path = path._replace(locker=refresher._lockers.get(place))
    if is_hidden:
        return path._replace(attempt=None)
    now = decide.Now(EPOCH, reading.end, reading.snapshot)
    wanted = decide.want_row(ITEMS, VIEW, rows.get(KEY), refresh, there, now)
    written = after(decide.renew(VIEW.store, wanted, there, refresh), attempt.held)
    return path._replace(attempt=Attempt(Step.READ, attempt.held, attempt.until, None, written))
