"""PostgreSQL as it matters here: row versions, row locks, transaction ids, and a log.

A transaction's changes, its commit record in the log, and its becoming visible are three separate moments.
Row locks last until the third, so the next writer of a row can see the change before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from processor.change import Op
from processor.snapshot import Snapshot
from processor.stamp import XID_LIMIT

FIRST_XID = 5 * XID_LIMIT - 4
"""Their lower 32 bits soon begin again, where the numbers of multixacts are: nothing must confuse them."""
SNAPSHOT_LSN = 1_000
EARLY_LSN = 500
LSN_STEP = 10

Row = Mapping[str, Any]


class State(Enum):
    RUNNING = "running"
    LOGGED = "logged"
    ENDED = "ended"


@dataclass
class Version:
    """One version of a row; `xmax` is what readers are shown, `deleter` who really ended it."""

    row: Row
    xmin: int = 0
    xmax: int = 0
    deleter: int = 0


@dataclass(frozen=True)
class Change:
    """What a transaction wrote into the log; `toast`: the name did not travel, as it was not changed."""

    table: str
    op: Op
    key: str
    before: Row | None
    after: Row | None
    lsn: int
    toast: bool = False


@dataclass
class Transaction:
    xid: int
    state: State = State.RUNNING
    changes: list[Change] = field(default_factory=list)
    shares: set[tuple[str, str]] = field(default_factory=set)
    locks: set[tuple[str, str]] = field(default_factory=set)
    truncated: set[str] = field(default_factory=set)


class Database:
    """Rows by table and key, and the transactions that have not ended."""

    def __init__(self, early: bool) -> None:
        """`early`: the first change is written before the initial snapshot, and committed after it."""
        self.transactions: list[Transaction] = []
        self.end = SNAPSHOT_LSN
        self.next_xid = FIRST_XID
        self._completed = FIRST_XID - 1
        self._early = early
        self._multixact = 0
        self._versions: dict[str, dict[str, list[Version]]] = {"items": {}, "tags": {}}

    def load(self, table: str, key: str, row: Row) -> None:
        """A row that was there before anything."""
        self._chain(table, key).append(Version(row))

    def begin(self) -> Transaction:
        transaction = Transaction(self.next_xid)
        self.next_xid += 1
        self.transactions.append(transaction)
        return transaction

    def newest(self, table: str, key: str) -> Row | None:
        """The row as its next writer finds it."""
        version = self._newest(table, key)
        return None if version is None else version.row

    def may_lock(self, transaction: Transaction, table: str, key: str, alone: bool) -> bool:
        """Whether it would not have to wait; `alone`: as for a delete, else as for an update."""
        place = (table, key)
        return not any(
            place in other.locks or table in other.truncated or (alone and place in other.shares)
            for other in self.transactions
            if other is not transaction
        )

    def write(self, transaction: Transaction, table: str, key: str, row: Row | None, toast: bool) -> None:
        """Insert, update, or (None) delete."""
        old = self._newest(table, key)
        before = None if old is None else old.row
        transaction.locks.add((table, key))
        if old is not None:
            old.deleter = transaction.xid
            old.xmax = self._locker(transaction, table, key)
        if row is not None:
            self._chain(table, key).append(Version(row, transaction.xid))
        op = Op.DELETE if row is None else Op.CREATE if before is None else Op.UPDATE
        transaction.changes.append(Change(table, op, key, before, row, self._advance(), toast))

    def move(self, transaction: Transaction, table: str, key: str, to: str, row: Row) -> None:
        """Change a row's key: the log has one record, the stream a delete and an insert of one position."""
        self.write(transaction, table, key, None, toast=False)
        self.write(transaction, table, to, row, toast=False)
        last = transaction.changes.pop()
        lsn = transaction.changes[-1].lsn
        transaction.changes.append(Change(table, Op.CREATE, to, None, last.after, lsn))

    def share(self, transaction: Transaction, table: str, key: str) -> None:
        """FOR KEY SHARE, as a foreign key takes it: leaves its number in the row, and changes nothing."""
        transaction.shares.add((table, key))
        version = self._newest(table, key)
        assert version is not None
        version.xmax = self._locker(transaction, table, key)

    def truncate(self, transaction: Transaction, table: str) -> None:
        """Nobody can read or write the table before the transaction has ended."""
        transaction.truncated.add(table)
        for key in self._versions[table]:
            if (version := self._newest(table, key)) is not None:
                version.deleter = transaction.xid
        transaction.changes.append(Change(table, Op.TRUNCATE, "", None, None, self._advance()))

    def may_truncate(self, transaction: Transaction, table: str) -> bool:
        """Whether nobody else holds anything of the table."""
        return not any(
            table in other.truncated or any(name == table for name, _ in other.locks | other.shares)
            for other in self.transactions
            if other is not transaction
        )

    def log(self, transaction: Transaction) -> int:
        """Write the commit record; returns its position."""
        transaction.state = State.LOGGED
        return self._advance()

    def show(self, transaction: Transaction) -> None:
        """Its changes become visible, its locks end."""
        for table in transaction.truncated:
            for chain in self._versions[table].values():
                chain[:] = [version for version in chain if version.xmin == transaction.xid]
        self._finish(transaction)

    def abort(self, transaction: Transaction) -> None:
        """Nothing of it remains but its number in the rows that it touched."""
        for chain in self._chains():
            chain[:] = [version for version in chain if version.xmin != transaction.xid]
            for version in chain:
                if version.deleter == transaction.xid:
                    version.deleter = 0
        self._finish(transaction)

    @property
    def is_locked(self) -> bool:
        """Whether readers have to wait: somebody truncates a table."""
        return any(transaction.truncated for transaction in self.transactions)

    def look(self) -> tuple[str, Callable[[int], bool]]:
        """A snapshot as text, and which transactions are visible in it."""
        unended = {transaction.xid for transaction in self.transactions}
        following, xmax = self.next_xid, self._completed + 1
        running = sorted(xid for xid in unended if xid < xmax)
        text = f"{running[0] if running else xmax}:{xmax}:{','.join(map(str, running))}"
        return text, lambda xid: xid < following and xid not in unended

    def parse(self, text: str) -> Snapshot:
        """With what follows now."""
        return Snapshot.parse(text, self.next_xid % XID_LIMIT)

    def rows(self, table: str, sees: Callable[[int], bool]) -> dict[str, Version]:
        """Visible versions by key."""
        return {
            key: version
            for key, chain in self._versions[table].items()
            for version in chain
            if sees(version.xmin) and not (version.deleter and sees(version.deleter))
        }

    def _finish(self, transaction: Transaction) -> None:
        transaction.state = State.ENDED
        self.transactions.remove(transaction)
        self._completed = max(self._completed, transaction.xid)

    def _locker(self, transaction: Transaction, table: str, key: str) -> int:
        """Its own number, or that of a group where others hold the row as well."""
        place = (table, key)
        others = [
            other
            for other in self.transactions
            if other is not transaction and place in other.shares | other.locks
        ]
        if not others:
            return transaction.xid % XID_LIMIT
        self._multixact += 1
        return self._multixact

    def _advance(self) -> int:
        if self._early:
            self._early = False
            return EARLY_LSN
        self.end += LSN_STEP
        return self.end

    def _newest(self, table: str, key: str) -> Version | None:
        return next((version for version in reversed(self._chain(table, key)) if not version.deleter), None)

    def _chain(self, table: str, key: str) -> list[Version]:
        return self._versions[table].setdefault(key, [])

    def _chains(self) -> Iterator[list[Version]]:
        for chains in self._versions.values():
            yield from chains.values()
