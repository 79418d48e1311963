"""The way from the log to the store, and what the store shows: state only."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from processor.snapshot import Snapshot
from processor.stamp import Stamp, make_version
from processor.stores.base import Held, Put, Restamp, Write
from processor.tables.base import FieldType, Projection, View
from tests.protocol.source import DELETE, FIRST_COMMIT, HIDDEN, Source

EPOCH: Final = 3
KEY: Final = "1"
_TABLE = sa.Table(
    "items",
    sa.MetaData(),
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("shown", sa.Boolean, nullable=False),
)
VIEW = View("index", "items", {"name": FieldType.KEYWORD})
ITEMS = Projection(model=_TABLE, only_when={"shown": True}, views=(VIEW,))


class Step(IntEnum):
    """How far an attempt at a refresh has come."""

    LOOKED = 1
    READ = 2
    WRITTEN = 3


class Attempt(NamedTuple):
    """A refresh at work: the record as it was before the row was read, and as it shall be after.

    `until`: how many commands it obeys, counted from the first.
    """

    step: Step
    held: Stamp | None
    until: int
    snapshot: Snapshot | None = None
    written: Stamp | None = None


class Path(NamedTuple):
    """How far the stream has come, counted in events, and what the store shows.

    Attributes:
        commands: of refresh, in Kafka: the transaction that caused it, or None for one asked from outside.
        obeyed: how many of them: their committed offset.
        locker: what the owner remembers of who holds the row.
        late: what an evicted owner is still about to write.
    """

    record: Stamp | None
    emitted: int = 0
    applied: int = 0
    committed: int = 0
    crashes: int = 0
    commands: tuple[int | None, ...] = ()
    obeyed: int = 0
    attempt: Attempt | None = None
    locker: tuple[int, int] | None = None
    late: Attempt | None = None


class Limits(NamedTuple):
    """What may happen besides.

    Attributes:
        crashes: of the owner.
        refreshes: asked for from outside.
        slow: a snapshot and the read of the row in it are two steps.
        late: what an evicted owner had read of a refresh may be written late, where a record can be compared
            (an absent one cannot: docs/guarantees.md).
        joined: the view is made of other tables' rows as well, and only those change: every change becomes a
            command to read again.
    """

    crashes: int = 0
    refreshes: int = 0
    slow: bool = False
    late: bool = False
    joined: bool = False


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


def held(record: Stamp | None) -> Held | None:
    return None if record is None else Held(record, record)


def after(write: Write | None, record: Stamp | None) -> Stamp | None:
    """The record once that is written."""
    if write is None:
        return record
    return write.stamp if isinstance(write, Put | Restamp) else None


def is_quiet(source: Source, path: Path) -> bool:
    """Nothing is under way."""
    ends = {len(source.events), path.emitted, path.applied, path.committed}
    at_rest = path.obeyed == len(path.commands) and path.late is None
    return not source.running and len(ends) == 1 and at_rest
