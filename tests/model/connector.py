"""Debezium as it matters here: the log in commit order, each change with the commit before its own."""

from __future__ import annotations

from dataclasses import dataclass

from processor.change import Op
from processor.delivery import partition_of
from processor.rows import PLACEHOLDER
from processor.stamp import XID_LIMIT
from tests.model.kafka import Broker
from tests.model.postgres import SNAPSHOT_LSN, Change, Database, Row, Transaction
from tests.model.tables import PARTITIONS, TOPIC_OF, encode, row_key


@dataclass(frozen=True)
class Event:
    """A record to be written to a topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    commit: int | None


class Connector:
    """Emits events one by one; after a restart it may emit earlier ones again.

    Attributes:
        newest: (table, key) -> the highest position that its streamed changes carry.
        streamed: (table, key) -> its streamed changes as they travel, in commit order.
    """

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database = database
        self._broker = broker
        self._events: list[Event] = []
        self._position = 0
        self._first = 0
        self._last_commit: int | None = None
        self.newest: dict[tuple[str, str], int] = {}
        self.streamed: dict[tuple[str, str], list[bytes]] = {}

    def snapshot(self) -> None:
        """The initial one: rows that rank below everything streamed."""
        for table in ("items", "tags"):
            for key, version in self._database.rows(table, self._database.look()[1]).items():
                self._emit(self._read(table, key, version.row, None))
        self._first = len(self._events)

    def commit(self, transaction: Transaction) -> None:
        """Its commit record is in the log."""
        for change in transaction.changes:
            self._events += self._of(change, transaction.xid)
        self._last_commit = self._database.log(transaction)

    @property
    def has_more(self) -> bool:
        return self._position < len(self._events)

    @property
    def may_repeat(self) -> int:
        """How many events it could emit again."""
        return self._position - self._first

    def emit(self) -> None:
        """The next event reaches its topic."""
        self._emit(self._events[self._position])
        self._position += 1

    def restart(self, back: int) -> None:
        """Emit the last `back` events again."""
        self._position -= back

    def look(self, table: str, key: str) -> None:
        """A row of a later snapshot: read now, and written where the stream stands."""
        version = self._database.rows(table, self._database.look()[1]).get(key)
        if version is not None:
            commit = self._events[self._position - 1].commit if self.may_repeat else None
            commit = SNAPSHOT_LSN if commit is None else commit
            self._emit(self._read(table, key, version.row, commit))

    def _emit(self, event: Event) -> None:
        self._broker.append(event.topic, event.partition, event.key, event.value)

    def _read(self, table: str, key: str, row: Row, commit: int | None) -> Event:
        value = encode(table, Op.READ, None, row, commit, self._database.end, None)
        return self._event(table, key, value, commit)

    def _of(self, change: Change, xid: int) -> list[Event]:
        commit, narrow = self._last_commit, xid % XID_LIMIT
        after = dict(change.after) if change.after else None
        if after and change.toast:
            after["name"] = PLACEHOLDER
        value = encode(change.table, change.op, change.before, after, commit, change.lsn, narrow)
        if change.op is Op.TRUNCATE:
            return [Event(TOPIC_OF[change.table], 0, None, value, commit)]
        place = (change.table, change.key)
        position = change.lsn if commit is None else commit
        self.newest[place] = max(self.newest.get(place, 0), position)
        self.streamed.setdefault(place, []).append(value)
        events = [self._event(change.table, change.key, value, commit)]
        if change.op is Op.DELETE:
            events.append(self._event(change.table, change.key, None, commit))
        return events

    def _event(self, table: str, key: str, value: bytes | None, commit: int | None) -> Event:
        raw = row_key(table, key)
        return Event(TOPIC_OF[table], partition_of(raw, PARTITIONS), raw, value, commit)
