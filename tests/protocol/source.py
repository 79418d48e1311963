"""PostgreSQL as far as one key shows it: versions of its row, transactions, and the log.

A change, the commit record in the log, and visibility are three steps. Whoever writes the row holds it until
the third; so the changes of one key come in the order of the scenario, and only transactions that do not
write the row run beside them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from processor.snapshot import Snapshot
from processor.stamp import XID_LIMIT

DELETE, LOCK, BEGIN = "delete", "lock", "begin"
"""Any other step puts its own name as the row's value. BEGIN writes some other row."""
COMMIT, SHOW, ABORT = "commit", "show", "abort"
HIDDEN = "hidden"
"""The value of a row that is not to be shown."""
FIRST_XID = 5 * XID_LIMIT - 2
"""The lower 32 bits soon begin again."""
FIRST_COMMIT = 10
GROUP = 1
"""In `xmax` it stands for several holders (a multixact) and says nothing of any transaction."""


class Transaction(NamedTuple):
    """What a session does, one step after the other."""

    steps: tuple[str, ...]

    @property
    def puts(self) -> list[str]:
        return [step for step in self.steps if step not in (LOCK, BEGIN, COMMIT, SHOW, ABORT)]


def commits(*steps: str) -> Transaction:
    return Transaction((*steps, COMMIT, SHOW))


def aborts(*steps: str) -> Transaction:
    return Transaction((*steps, ABORT))


class Version(NamedTuple):
    """A version of the row; `xmax` is what readers are shown (32 bits), `deleter` who really ended it."""

    value: str
    xmin: int
    xmax: int = 0
    deleter: int = 0


class Event(NamedTuple):
    """A change in the stream; `position` is the last commit before its own, `xid` has 32 bits."""

    value: str
    position: int
    xid: int


class Source(NamedTuple):
    """All that PostgreSQL holds. `done` and `xids` are by transaction; `events` in commit order."""

    done: tuple[int, ...]
    xids: tuple[int, ...]
    versions: tuple[Version, ...]
    running: frozenset[int] = frozenset()
    next_xid: int = FIRST_XID
    completed: int = FIRST_XID - 1
    end: int = FIRST_COMMIT + 1
    last_commit: int = FIRST_COMMIT
    events: tuple[Event, ...] = ()


class Row(NamedTuple):
    """The version that a snapshot shows; transaction ids have 32 bits."""

    value: str
    xmin: int
    xmax: int


class Reading(NamedTuple):
    """The row, or None, as `snapshot` shows it, and the end of the log after that."""

    row: Row | None
    snapshot: Snapshot
    end: int


def start(transactions: Sequence[Transaction], value: str | None) -> Source:
    nothing = (0,) * len(transactions)
    versions = () if value is None else (Version(value, FIRST_XID - 1),)
    return Source(nothing, nothing, versions)


def moves(transactions: Sequence[Transaction], source: Source) -> Iterator[tuple[str, Source]]:
    """Every step that some transaction can do now."""
    for number, transaction in enumerate(transactions):
        if source.done[number] < len(transaction.steps):
            action = transaction.steps[source.done[number]]
            if _may(transactions, source, number, action):
                yield f"T{number + 1} {action}", _act(transactions, source, number, action)


def begin(source: Source) -> Source:
    """A transaction takes the next id and writes a row of some other table."""
    xid = source.next_xid
    return source._replace(next_xid=_after(xid), running=source.running | {xid}, end=source.end + 1)


def end(source: Source, xid: int) -> Source:
    """It is visible, or gone."""
    return source._replace(running=source.running - {xid}, completed=max(source.completed, xid))


def log(source: Source) -> Source:
    """A commit record."""
    return source._replace(end=source.end + 1, last_commit=source.end + 1)


def look(source: Source) -> Snapshot:
    ended = _after(source.completed)
    running = frozenset(xid for xid in source.running if xid < ended)
    return Snapshot(min(running, default=ended), ended, running, source.next_xid)


def read(source: Source, snapshot: Snapshot, joined: bool = False) -> Reading:
    """The row in a snapshot that may be older; `xmax`, the next id and the log's end are of this moment.

    `joined`: its values are other rows', which nothing in the row itself tells.
    """
    fresh = Snapshot(snapshot.xmin, snapshot.xmax, snapshot.running, source.next_xid)
    for version in source.versions:
        if _sees(snapshot, version.xmin) and not (version.deleter and _sees(snapshot, version.deleter)):
            ids = (FIRST_XID - 1, 0) if joined else (version.xmin, version.xmax)
            row = Row(version.value, ids[0] % XID_LIMIT, ids[1])
            return Reading(row, fresh, source.end)
    return Reading(None, fresh, source.end)


def _sees(snapshot: Snapshot, xid: int) -> bool:
    return xid < snapshot.xmax and xid not in snapshot.running


def _after(xid: int) -> int:
    """0, 1 and 2 are nobody's."""
    return xid + 1 if (xid + 1) % XID_LIMIT else xid + 4


def _may(transactions: Sequence[Transaction], source: Source, number: int, action: str) -> bool:
    """Whether it would not have to wait for a lock."""
    if action == LOCK:
        return any(_is_there(source, version) for version in source.versions)
    if action in (BEGIN, COMMIT, SHOW, ABORT):
        return True
    held = action == DELETE and bool(_lockers(transactions, source))
    return not held and all(
        source.done[other] == len(transactions[other].steps)
        for other in range(number)
        if transactions[other].puts
    )


def _act(transactions: Sequence[Transaction], source: Source, number: int, action: str) -> Source:
    done = _put(source.done, number, source.done[number] + 1)
    if not source.xids[number]:
        source = begin(source)._replace(xids=_put(source.xids, number, source.next_xid))
    source, xid = source._replace(done=done), source.xids[number]
    if action == BEGIN:
        return source
    if action == COMMIT:
        change = (Event(value, source.last_commit, xid % XID_LIMIT) for value in transactions[number].puts)
        return log(source._replace(events=(*source.events, *change)))
    if action == SHOW:
        return end(source, xid)
    if action == ABORT:
        kept = (v._replace(deleter=0) if v.deleter == xid else v for v in source.versions if v.xmin != xid)
        return end(source._replace(versions=tuple(kept)), xid)
    if action == LOCK:
        return source._replace(versions=tuple(_locked(source, v, xid) for v in source.versions))
    return _written(source, xid, action, _lockers(transactions, source))


def _written(source: Source, xid: int, value: str, lockers: frozenset[int]) -> Source:
    """An update hands the locks of others on to the new version."""
    shown = GROUP if lockers else xid % XID_LIMIT
    old = tuple(v if v.deleter else v._replace(xmax=shown, deleter=xid) for v in source.versions)
    locker = min(lockers, default=0) % XID_LIMIT
    new = () if value == DELETE else (Version(value, xid, locker),)
    return source._replace(versions=old + new, end=source.end + 1)


def _is_there(source: Source, version: Version) -> bool:
    """Committed, and not being deleted."""
    updated = any(other.xmin == version.deleter for other in source.versions)
    return version.xmin not in source.running and (
        not version.deleter or (updated and version.deleter in source.running)
    )


def _locked(source: Source, version: Version, xid: int) -> Version:
    """FOR KEY SHARE holds a version that is being updated together with who updates it, and the new one."""
    if version.deleter and version.deleter not in source.running:
        return version
    return version._replace(xmax=GROUP if version.deleter else xid % XID_LIMIT)


def _lockers(transactions: Sequence[Transaction], source: Source) -> frozenset[int]:
    return frozenset(
        source.xids[number]
        for number, transaction in enumerate(transactions)
        if LOCK in transaction.steps[: source.done[number]] and source.xids[number] in source.running
    )


def _put(values: tuple[int, ...], place: int, value: int) -> tuple[int, ...]:
    return (*values[:place], value, *values[place + 1 :])
