"""Refresh commands: read this row again from PostgreSQL and bring the stores to it. One topic per table.

The one way to heal: no other path writes to a store. A command lies on the partition of its row's changes, so
the process that applies those obeys it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from processor.change import Change, Message
from processor.errors import DecodeError
from processor.keys import kafka_key
from processor.offsets import Offsets
from processor.stores.base import NOTHING, Record
from processor.tables.base import Projection, View

PREFIX: Final = "refresh."


def refresh_topic(topic: str) -> str:
    """The topic of refresh commands of a table's topic."""
    return PREFIX + topic


class Command(BaseModel):
    """A command's value, as JSON in Kafka.

    Attributes:
        run_id: of the reconciler's run, or of whoever asks.
        stores: which stores; None for all.
        force: write every field and make the vector anew, also where the fingerprint says they are right; a
            stamp that cannot be is set back.
        replays: how often the letter was replayed.
        letter: topic/partition/offset of the dead letter that this replays; the first of its row's.
        first_failed_at: when that one was written, in ms since 1970.
        xid: transaction that caused the command: it must be visible to the read.
        sweep: look at every record on the command's partition instead of one row's.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str = ""
    reason: str
    stores: frozenset[str] | None = None
    force: bool = False
    replays: int = Field(default=0, ge=0)
    letter: str | None = None
    first_failed_at: int | None = Field(default=None, ge=0)
    xid: int | None = Field(default=None, ge=0, lt=1 << 32)
    sweep: bool = False
    requested_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))

    def to_bytes(self) -> bytes:
        """The value of a record."""
        shown = self.model_dump(mode="json") | {
            "stores": None if self.stores is None else sorted(self.stores)
        }
        return json.dumps(shown, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, value: bytes) -> Command:
        """The inverse of `to_bytes`.

        Raises:
            DecodeError: names what is wrong with it.
        """
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "value"
            raise DecodeError(f"not a refresh command: {where}: {first['msg']}") from error


@dataclass(frozen=True, slots=True)
class Request:
    """A command to be sent: about one row, or (`key` None) to the whole `partition` of a refresh topic."""

    topic: str
    key: bytes | None
    command: Command
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """Which dead letter a command replays: its place, how often that was tried, when it first failed (ms)."""

    letter: str
    replays: int
    first_failed_at: int | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What stores have taken of a row before its joined views could be made, and will not keep without them.

    Attributes:
        changes: in the order of their positions.
        previous: what the stores showed before the first of them, where that had to be read.
    """

    changes: tuple[Change, ...]
    previous: Mapping[View, Record | None]


@dataclass(frozen=True, slots=True)
class Refresh:
    """What is to be done for one row.

    Attributes:
        message: the last record that asks for it: a command, or a change that cannot be applied as it is.
        since: the first offset that asks for it, by topic and partition: what is before is not held up.
        values: the key's columns in Row form.
        xids: transactions that must be visible to the read.
        invalidates: store -> cache entries that the asking change has made stale.
        replay: the dead letter that is replayed by this.
        follows: the other stores have taken the same change in this batch.
        taken: what the other stores have taken, in this batch or an earlier one, and this is to be joined to.
    """

    message: Message
    key: str
    values: Mapping[str, Any]
    since: Offsets
    stores: frozenset[str] | None = None
    force: bool = False
    xids: frozenset[int] = frozenset()
    invalidates: Mapping[str, frozenset[str]] | None = None
    replay: Replay | None = None
    follows: bool = False
    taken: Taken | None = None

    @property
    def topic(self) -> str:
        """Where it comes from: a topic of commands, or of changes."""
        return self.message.topic

    @property
    def size(self) -> int:
        """Bytes of the records that it holds."""
        changes = self.taken.changes if self.taken else ()
        others = sum(change.message.size for change in changes if change.message is not self.message)
        return self.message.size + others

    def concerns(self, store: str) -> bool:
        """Whether that store is to be brought to the row."""
        return self.stores is None or store in self.stores

    def entries(self, store: str) -> frozenset[str]:
        """Cache entries to drop with the record."""
        return (self.invalidates or {}).get(store, NOTHING)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Every record of a table on the message's partition is to be compared with PostgreSQL."""

    message: Message
    stores: frozenset[str] | None
    xids: frozenset[int]

    @property
    def topic(self) -> str:
        """The topic of commands that it comes from."""
        return self.message.topic


def merge(refreshes: Iterable[Refresh]) -> dict[str, Refresh]:
    """One per key, which does what all of them ask."""
    merged: dict[str, Refresh] = {}
    for refresh in refreshes:
        other = merged.get(refresh.key)
        merged[refresh.key] = refresh if other is None else _both(other, refresh)
    return merged


def first_of(places: Iterable[Offsets]) -> Offsets:
    """The lowest offset of each place."""
    found: Offsets = {}
    for some in places:
        for place, offset in some.items():
            found[place] = min(found.get(place, offset), offset)
    return found


def _both(one: Refresh, other: Refresh) -> Refresh:
    stores = None if one.stores is None or other.stores is None else one.stores | other.stores
    names = {*(one.invalidates or {}), *(other.invalidates or {})}
    return replace(
        other,
        since=first_of((one.since, other.since)),
        stores=stores,
        force=one.force or other.force,
        xids=one.xids | other.xids,
        invalidates={name: one.entries(name) | other.entries(name) for name in names},
        replay=other.replay or one.replay,
        follows=one.follows and other.follows,
        taken=_both_taken(one.taken, other.taken),
    )


def _both_taken(one: Taken | None, other: Taken | None) -> Taken | None:
    """`other` came later; but the connector may send changes again, also those that were joined already."""
    if one is None or other is None:
        return one or other
    first = one.changes[0].position
    changes = [*one.changes, *(change for change in other.changes if change.position >= first)]
    return Taken(tuple(sorted(changes, key=lambda change: change.position)), one.previous)


def request(topic: str, projection: Projection, values: Mapping[str, Any], command: Command) -> Request:
    """A command about the row of those key columns; `topic` is that of the table's changes."""
    return Request(refresh_topic(topic), kafka_key(projection.key_columns, values), command)
