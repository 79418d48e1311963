"""The world that the processors live in: what may happen next, and what must hold in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from processor.delivery import partition_of
from processor.refresh import Command, Request, request
from tests.model.changes import Move, item, write, writes
from tests.model.connector import Connector
from tests.model.group import Members
from tests.model.judge import Judge
from tests.model.kafka import Broker
from tests.model.letters import Desk
from tests.model.owner import Owner, SharedStore
from tests.model.postgres import Database, State, Transaction
from tests.model.refusals import REFUSALS, choices
from tests.model.scope import Scope
from tests.model.tables import ITEM_KEYS, ITEMS, PARTITIONS, TAG_KEYS, TOPIC_OF
from tests.refusing import nothing

LIMIT: Final = 2_000
"""Turns in which everything must have come to rest: the longest of 400 walks needed 94."""
OFTEN: Final = 1_000
"""Replays of one row, at most: no world has so many."""


class World:
    """`options(kind)` are the moves that are possible, `do` lets one happen, `finish` ends all and judges."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.story: list[str] = []
        self.database = Database(scope.early)
        self.broker = Broker()
        self.connector = Connector(self.database, self.broker)
        self.desk = Desk(self.broker)
        self.stores = [SharedStore(view.store) for view in ITEMS.views]
        for store, view in zip(self.stores, ITEMS.views, strict=True):
            store.ensure(view)
        self.model = "letters"
        self.members = Members(scope.owners, self.broker, self._make)
        self._items, self._tags = ITEM_KEYS[: scope.items], TAG_KEYS[: scope.tags]
        for key in self._items[: scope.filled]:
            self.database.load("items", key, item(key, 0))
        self.connector.snapshot()
        for name in self.members.names:
            self.members.start(name)
        if scope.settled:
            while self.members.rest():
                pass
        self._kinds: dict[str, Callable[[], list[Move]]] = {
            "write": lambda: writes(self.database, self._items, self._tags, scope.values, scope.transactions),
            "commit": self._commits,
            "show": self._shows,
            "emit": lambda: [("emit",)] * self.connector.has_more,
            "repeat": lambda: [("repeat", n) for n in range(1, min(self.connector.may_repeat, 4) + 1)],
            "look": lambda: [("look", key) for key in self._items],
            "command": lambda: [("command", key, force) for key in self._items for force in (False, True)],
            "step": lambda: self.members.steps(self.database.is_locked),
            "store": lambda: [
                ("store", name) for name, owner in self.owners.items() if owner.consumer.stored
            ],
            "crash": lambda: [("crash", name) for name in self.owners],
            "group": self.members.groups,
            "remodel": lambda: [("remodel",)] * (self.model == "letters"),
        }
        if scope.refusing:
            self._kinds |= {
                "narrow": lambda: [
                    ("narrow", key, view.store, force)
                    for key in self._items
                    for view in ITEMS.row_views
                    for force in (False, True)
                ],
                "refuse": lambda: choices(self.stores),
                "replay": lambda: [("replay", n, done) for n in self.desk.filled for done in (True, False)],
            }

    @property
    def owners(self) -> dict[str, Owner]:
        """Processes by name."""
        return self.members.owners

    def options(self, kind: str) -> list[Move]:
        """Moves of a kind that are possible now."""
        return self._kinds[kind]() if kind in self._kinds else []

    def kind_of(self, move: Move) -> str:
        """Among whose options it is."""
        kind = str(move[0])
        kinds = {"abort": "commit", "start": "group", "evict": "group", "accept": "refuse"}
        return kinds.get(kind, kind)

    def do(self, move: Move) -> None:
        """Let it happen."""
        before = self.owners[move[1]].at if move[0] == "step" else None
        self.story.append(" ".join(map(str, move)) + (f": {before}" if before else ""))
        if before != "poll":
            self.members.wake()
        getattr(self, f"_{move[0]}")(*move[1:])

    def finish(self) -> None:
        """Let everything come to rest: no store shows what another refuses, and a letter tells of it.

        Then stores take everything, and letters are replayed: every store must show the table.
        """
        self._end_transactions()
        if self.model != "letters":
            for key in self._items:
                self._command(key, force=False)
        self._come_to_rest()
        judge = Judge(self.database, self.connector, self.stores, self.model)
        if not self.desk.has_any:
            judge.all_equal()
            return
        assert self.scope.refusing, "a letter, though no store refuses anything"
        judge.none_halfway(self.desk)
        for store in self.stores:
            self._accept(store.name)
        for number in self.desk.filled:
            self._replay(number, done=True)
        self._come_to_rest()
        judge.all_equal()
        assert not self.desk.filled, "letters though all stores take everything"

    def close(self) -> None:
        """Leave no thread behind."""
        self.members.end()

    # what may happen

    def _commits(self) -> list[Move]:
        running = [t for t in self.database.transactions if t.state is State.RUNNING]
        return [(how, t.xid) for t in running for how in (*["commit"] * 6, "abort")]

    def _shows(self) -> list[Move]:
        return [("show", t.xid) for t in self.database.transactions if t.state is State.LOGGED]

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
        self._ask(key, Command(reason="model", force=force))

    def _narrow(self, key: str, store: str, force: bool) -> None:
        self._ask(key, Command(reason="model", stores=frozenset({store}), force=force))

    def _replay(self, number: int, done: bool) -> None:
        """Unless `done`, it dies before its position moves."""
        requests, position = self.desk.replay(number, OFTEN)
        self._send(requests)
        if done:
            self.desk.move(number, position)

    def _refuse(self, store: str, what: str) -> None:
        self._store_of(store).refuses = REFUSALS[store][what]

    def _accept(self, store: str) -> None:
        self._store_of(store).refuses = nothing

    def _step(self, name: str, order: Any) -> None:
        self.members.step(name, order)

    def _store(self, name: str) -> None:
        """The client commits in the background what was stored."""
        self.owners[name].consumer.commit()

    def _crash(self, name: str) -> None:
        self.members.crash(name)

    def _start(self, name: str) -> None:
        self.members.start(name)

    def _group(self, number: int) -> None:
        self.members.split(number)

    def _evict(self, name: str) -> None:
        self.broker.evict(name)

    def _remodel(self) -> None:
        """All processes are started again with another model, and every row is asked for."""
        for name in list(self.owners):
            self._crash(name)
        self.model = "more letters"
        for name in self.members.names:
            self._start(name)

    # the end

    def _end_transactions(self) -> None:
        for transaction in list(self.database.transactions):
            if transaction.state is State.RUNNING:
                self.connector.commit(transaction)
            self.database.show(transaction)
        while self.connector.has_more:
            self.connector.emit()
        for name in self.members.names:
            if name not in self.owners:
                self._start(name)

    def _come_to_rest(self) -> None:
        for _ in range(LIMIT):
            if not self.members.rest():
                return
        raise AssertionError(f"no rest: {self.members.open()}")

    # helpers

    def _make(self, name: str) -> Owner:
        return Owner(name, self.database, self.broker, self.stores, self.model)

    def _ask(self, key: str, command: Command) -> None:
        self._send([request(TOPIC_OF["items"], ITEMS, {"item_id": key}, command)])

    def _send(self, requests: Sequence[Request]) -> None:
        for asked in requests:
            assert asked.key is not None
            number = partition_of(asked.key, PARTITIONS)
            self.broker.append(asked.topic, number, asked.key, asked.command.to_bytes())

    def _store_of(self, name: str) -> SharedStore:
        return next(store for store in self.stores if store.name == name)

    def _transaction(self, xid: int | None) -> Transaction:
        return next(t for t in self.database.transactions if t.xid == xid)
