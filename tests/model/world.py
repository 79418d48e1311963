"""The world that the processors live in: what may happen next, and what must hold in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock

from processor.delivery import partition_of
from processor.refresh import Command, request
from tests.model.actor import CLOCK
from tests.model.changes import ITEM_VALUES, Move, item, write, writes
from tests.model.connector import Connector
from tests.model.judge import judge
from tests.model.kafka import Broker, Split
from tests.model.owner import FAIL, Owner, SharedStore
from tests.model.postgres import Database, State, Transaction
from tests.model.tables import ITEM_KEYS, ITEMS, PARTITIONS, TAG_KEYS, TOPIC_OF

KINDS: Final = (
    *("write", "commit", "show", "emit", "repeat", "look"),
    *("command", "step", "store", "crash", "group", "remodel"),
)
OWNERS: Final = ("A", "B")
LIMIT: Final = 2_000
"""Turns in which everything must have come to rest: the longest of 400 walks needed 94."""
ALL: Final = frozenset(range(PARTITIONS))
NONE: Final = frozenset[int]()
SPLITS: Final[tuple[Split, ...]] = (
    {"A": ALL, "B": NONE},
    {"A": NONE, "B": ALL},
    {"A": frozenset({0}), "B": frozenset({1})},
)


@dataclass(frozen=True)
class Scope:
    """How large a world is. A small one is explored faster.

    Attributes:
        early: the first change is written before the initial snapshot, and committed after it.
        settled: the initial snapshot's rows have been applied.
        filled: rows that there are at the beginning.
        transactions: how many may be under way at once.
    """

    owners: int = 2
    items: int = 2
    tags: int = 2
    values: int = len(ITEM_VALUES)
    early: bool = False
    settled: bool = True
    filled: int = 1
    transactions: int = 3


@contextmanager
def simulated() -> Iterator[None]:
    """Time stands still while nobody polls, and a sweep's page holds one record."""
    with ExitStack() as stack:
        for module in ("consumer", "backlog"):
            stack.enter_context(mock.patch(f"processor.{module}.time", CLOCK))
        stack.enter_context(mock.patch("processor.sweeper.PAGE", 1))
        yield


class World:
    """`options(kind)` are the moves that are possible, `do` lets one happen, `finish` ends all and judges."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.story: list[str] = []
        self.database = Database(scope.early)
        self.broker = Broker()
        self.connector = Connector(self.database, self.broker)
        self.stores = [SharedStore(view.store) for view in ITEMS.views]
        for store, view in zip(self.stores, ITEMS.views, strict=True):
            store.ensure(view)
        self.model = "letters"
        self.owners: dict[str, Owner] = {}
        self._idle: set[str] = set()
        self._items, self._tags = ITEM_KEYS[: scope.items], TAG_KEYS[: scope.tags]
        for key in self._items[: scope.filled]:
            self.database.load("items", key, item(key, 0))
        self.connector.snapshot()
        for name in OWNERS[: scope.owners]:
            self._start(name)
        self.broker.rebalance(self._splits()[0])
        if scope.settled:
            while self._rest():
                pass
        self._kinds: dict[str, Callable[[], list[Move]]] = {
            "write": lambda: writes(self.database, self._items, self._tags, scope.values, scope.transactions),
            "commit": self._commits,
            "show": self._shows,
            "emit": lambda: [("emit",)] * self.connector.has_more,
            "repeat": lambda: [("repeat", n) for n in range(1, min(self.connector.may_repeat, 4) + 1)],
            "look": lambda: [("look", key) for key in self._items],
            "command": lambda: [("command", key, force) for key in self._items for force in (False, True)],
            "step": self._steps,
            "store": lambda: [
                ("store", name) for name, owner in self.owners.items() if owner.consumer.stored
            ],
            "crash": lambda: [("crash", name) for name in self.owners],
            "group": self._groups,
            "remodel": lambda: [("remodel",)] * (self.model == "letters"),
        }

    def options(self, kind: str) -> list[Move]:
        """Moves of a kind that are possible now."""
        return self._kinds[kind]() if kind in self._kinds else []

    def kind_of(self, move: Move) -> str:
        """Among whose options it is."""
        kind = str(move[0])
        return {"abort": "commit", "start": "group", "evict": "group"}.get(kind, kind)

    def do(self, move: Move) -> None:
        """Let it happen."""
        before = self.owners[move[1]].at if move[0] == "step" else None
        self.story.append(" ".join(map(str, move)) + (f": {before}" if before else ""))
        if before != "poll":
            self._idle.clear()
        getattr(self, f"_{move[0]}")(*move[1:])

    def finish(self) -> None:
        """Let everything come to rest, then every store must show the table."""
        self._end_transactions()
        if self.model != "letters":
            for key in self._items:
                self._command(key, force=False)
        for _ in range(LIMIT):
            if not self._rest():
                break
        else:
            raise AssertionError(f"no rest: {self._open()}")
        for store, view in zip(self.stores, ITEMS.views, strict=True):
            judge(self.database, self.connector, store, view, self.model)

    def close(self) -> None:
        """Leave no thread behind."""
        for owner in self.owners.values():
            owner.end()

    # what may happen

    def _commits(self) -> list[Move]:
        running = [t for t in self.database.transactions if t.state is State.RUNNING]
        return [(how, t.xid) for t in running for how in (*["commit"] * 6, "abort")]

    def _shows(self) -> list[Move]:
        return [("show", t.xid) for t in self.database.transactions if t.state is State.LOGGED]

    def _steps(self) -> list[Move]:
        moves: list[Move] = []
        for name, owner in self.owners.items():
            if name in self._idle or (owner.at == "lock" and self.database.is_locked):
                continue
            if owner.at == "poll":
                moves += [
                    ("step", name, (size, first)) for size in (1, 2, 5) for first in owner.consumer.filled
                ]
            elif (owner.at or "").startswith("apply"):
                moves += [("step", name, None)] * 5 + [("step", name, FAIL)]
            else:
                moves.append(("step", name, None))
        return moves

    def _groups(self) -> list[Move]:
        broker = self.broker
        moves: list[Move] = [("start", name) for name in self._names() if name not in self.owners]
        if not moves and not broker.evicted and not broker.joining:
            moves += [("group", n) for n in range(len(self._splits()))]
        if len(self.owners) > 1 and not broker.evicted:
            moves += [("evict", name) for name in self.owners]
        return moves

    # letting it happen

    def _write(self, number: int | None, kind: str, *arguments: Any) -> None:
        transaction = self._transaction(number) if number else self.database.begin()
        write(self.database, transaction, kind, *arguments)

    def _commit(self, xid: int) -> None:
        self.connector.commit(self._transaction(xid))

    def _abort(self, xid: int) -> None:
        self.database.abort(self._transaction(xid))

    def _show(self, xid: int) -> None:
        self.database.show(self._transaction(xid))

    def _emit(self) -> None:
        self.connector.emit()

    def _repeat(self, back: int) -> None:
        self.connector.restart(back)

    def _look(self, key: str) -> None:
        if not self.database.is_locked:
            self.connector.look("items", key)

    def _command(self, key: str, force: bool) -> None:
        asked = request(TOPIC_OF["items"], ITEMS, {"item_id": key}, Command(reason="model", force=force))
        assert asked.key is not None
        self.broker.append(
            asked.topic, partition_of(asked.key, PARTITIONS), asked.key, asked.command.to_bytes()
        )

    def _step(self, name: str, order: Any) -> None:
        """A poll that changes nothing is not worth another one, until something else happens."""
        owner = self.owners[name]
        served = owner.consumer.served
        polls = owner.at == "poll"
        owner.resume(order)
        if polls and owner.at == "poll" and owner.consumer.served == served:
            self._idle.add(name)
        else:
            self._idle.clear()

    def _store(self, name: str) -> None:
        """The client commits in the background what was stored."""
        self.owners[name].consumer.commit()

    def _crash(self, name: str) -> None:
        self.owners.pop(name).end()
        self.broker.evicted.discard(name)
        if self.owners:
            self.broker.leave(name)
        else:
            self.broker.rebalance({})

    def _start(self, name: str) -> None:
        self.owners[name] = Owner(name, self.database, self.broker, self.stores, self.model)
        if set(self.owners) == set(self._names()):
            self.broker.rebalance(self._splits()[0])

    def _group(self, number: int) -> None:
        self.broker.rebalance(self._splits()[number])

    def _evict(self, name: str) -> None:
        self.broker.evict(name)

    def _remodel(self) -> None:
        """All processes are started again with another model, and every row is asked for."""
        for name in list(self.owners):
            self._crash(name)
        self.model = "more letters"
        for name in self._names():
            self._start(name)

    # the end

    def _end_transactions(self) -> None:
        for transaction in list(self.database.transactions):
            if transaction.state is State.RUNNING:
                self.connector.commit(transaction)
            self.database.show(transaction)
        while self.connector.has_more:
            self.connector.emit()
        for name in self._names():
            if name not in self.owners:
                self._start(name)

    def _rest(self) -> bool:
        """One step of everyone; whether anything is still to be done."""
        for owner in self.owners.values():
            owner.resume((5, 0) if owner.at == "poll" else None)
            owner.consumer.commit()
        if not self.broker.joining and not self.broker.evicted and set(self.broker.split) != set(self.owners):
            self.broker.rebalance(self._splits()[0])
        return bool(self._open())

    def _open(self) -> dict[Any, Any]:
        if self.broker.joining or self.broker.evicted or set(self.broker.split) != set(self.owners):
            return {"group": self.broker.joining}
        committed = self.broker.offsets
        return {p: (committed.get(p, 0), n) for p, n in self.broker.ends().items() if committed.get(p, 0) < n}

    # helpers

    def _names(self) -> tuple[str, ...]:
        return OWNERS[: self.scope.owners]

    def _splits(self) -> tuple[Split, ...]:
        return SPLITS if self.scope.owners > 1 else ({"A": ALL},)

    def _transaction(self, xid: int | None) -> Transaction:
        return next(t for t in self.database.transactions if t.xid == xid)
