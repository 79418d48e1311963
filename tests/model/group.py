"""The processes of the consumer group: starting, dying, being late, and coming to rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.model.changes import Move
from tests.model.kafka import Broker, Split
from tests.model.owner import FAIL, Owner
from tests.model.tables import PARTITIONS

OWNERS: Final = ("A", "B")
ALL: Final = frozenset(range(PARTITIONS))
NONE: Final = frozenset[int]()
SPLITS: Final[tuple[Split, ...]] = (
    {"A": ALL, "B": NONE},
    {"A": NONE, "B": ALL},
    {"A": frozenset({0}), "B": frozenset({1})},
)


class Members:
    """The group's processes by name; `make` starts one."""

    def __init__(self, number: int, broker: Broker, make: Callable[[str], Owner]) -> None:
        self.names = OWNERS[:number]
        self.owners: dict[str, Owner] = {}
        self._broker = broker
        self._make = make
        self._splits = SPLITS if number > 1 else ({"A": ALL},)
        self._idle: set[str] = set()

    # what may happen

    def steps(self, is_locked: bool) -> list[Move]:
        """`is_locked`: readers of the database have to wait."""
        moves: list[Move] = []
        for name, owner in self.owners.items():
            if name in self._idle or (owner.at == "lock" and is_locked):
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

    def groups(self) -> list[Move]:
        """A start, another split, or one who does not poll in time."""
        broker = self._broker
        moves: list[Move] = [("start", name) for name in self.names if name not in self.owners]
        if not moves and not broker.evicted and not broker.joining:
            moves += [("group", n) for n in range(len(self._splits))]
        if len(self.owners) > 1 and not broker.evicted:
            moves += [("evict", name) for name in self.owners]
        return moves

    # letting it happen

    def wake(self) -> None:
        """Something else has happened: a poll may be worth it again."""
        self._idle.clear()

    def step(self, name: str, order: Any) -> None:
        """A poll that changes nothing is not worth another one, until something else happens."""
        owner = self.owners[name]
        served = owner.consumer.served
        polls = owner.at == "poll"
        owner.resume(order)
        if polls and owner.at == "poll" and owner.consumer.served == served:
            self._idle.add(name)
        else:
            self._idle.clear()

    def start(self, name: str) -> None:
        """Once all are there, the group shares its partitions out."""
        self.owners[name] = self._make(name)
        if set(self.owners) == set(self.names):
            self.split(0)

    def split(self, number: int) -> None:
        """Share them out in another way."""
        self._broker.rebalance(self._splits[number])

    def crash(self, name: str) -> None:
        """kill -9."""
        self.owners.pop(name).end()
        self._broker.evicted.discard(name)
        if self.owners:
            self._broker.leave(name)
        else:
            self._broker.rebalance({})

    def end(self) -> None:
        """Leave no thread behind."""
        for owner in self.owners.values():
            owner.end()

    # coming to rest

    def rest(self) -> bool:
        """One step of everyone; whether anything is still to be done."""
        for owner in self.owners.values():
            owner.resume((5, 0) if owner.at == "poll" else None)
            owner.consumer.commit()
        if not self._broker.joining and not self._broker.evicted and self._is_incomplete():
            self.split(0)
        return bool(self.open())

    def open(self) -> dict[Any, Any]:
        """What is still to be done."""
        broker = self._broker
        if broker.joining or broker.evicted or self._is_incomplete():
            return {"group": broker.joining}
        committed = broker.offsets
        return {p: (committed.get(p, 0), n) for p, n in broker.ends().items() if committed.get(p, 0) < n}

    def _is_incomplete(self) -> bool:
        return set(self._broker.split) != set(self.owners)
