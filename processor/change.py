"""What becomes of a Kafka message: a Change, a Truncation, a Poison, or nothing (tombstone)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from processor.errors import AegisError
from processor.rows import Row


class Op(StrEnum):
    """Operation of a change event, as Debezium writes it."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"
    TRUNCATE = "t"


@dataclass(frozen=True, slots=True)
class Message:
    """One Kafka record, byte for byte; kept until its change is accepted or dead-lettered."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")

    @property
    def place(self) -> dict[tuple[str, int], int]:
        """Its offset, by topic and partition."""
        return {(self.topic, self.partition): self.offset}

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where in PostgreSQL's log a change stands; positions are LSNs, `xid` has 32 bits."""

    lsn: int | None
    last_commit_lsn: int | None
    xid: int | None

    @property
    def position(self) -> int:
        """The last commit before the change, else (rows of the initial snapshot) the event's own LSN."""
        return self.last_commit_lsn if self.last_commit_lsn is not None else self.lsn or 0

    @property
    def farthest(self) -> int:
        """The greater of the two positions."""
        return max(self.lsn or 0, self.last_commit_lsn or 0)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one row; `values` are the columns of its key in Row form."""

    message: Message
    table: str
    key: str
    values: Mapping[str, Any]
    op: Op
    before: Row | None
    after: Row | None
    source: Source

    @property
    def topic(self) -> str:
        """Where it comes from."""
        return self.message.topic

    @property
    def xid(self) -> int | None:
        """The transaction that made a streamed change; a snapshot's row shows what others made before."""
        return None if self.op is Op.READ else self.source.xid

    @property
    def of_initial_snapshot(self) -> bool:
        """A row that the connector read before it began to stream: no commit precedes it in its stream."""
        return self.op is Op.READ and self.source.last_commit_lsn is None

    @property
    def of_later_snapshot(self) -> bool:
        """A row that was read while the stream went on: changes already in the stream may be newer."""
        return self.op is Op.READ and not self.of_initial_snapshot

    @property
    def position(self) -> int:
        """What orders the changes of a key: the last commit before this one.

        The first streamed transaction has none and takes its own LSN. That LSN lies *before* the snapshot's
        when it wrote before the snapshot and committed after it: so a row of the initial snapshot has 0.
        """
        return 0 if self.of_initial_snapshot else self.source.position


@dataclass(frozen=True, slots=True)
class Truncation:
    """All rows of a table were removed at once, in transaction `xid`."""

    message: Message
    xid: int | None

    @property
    def topic(self) -> str:
        """Where it comes from."""
        return self.message.topic


@dataclass(frozen=True, slots=True)
class Poison:
    """A message that cannot become a Change."""

    message: Message
    error: AegisError

    @property
    def topic(self) -> str:
        """Where it comes from."""
        return self.message.topic
