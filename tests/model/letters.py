"""Dead letters as `aegis dlq replay` reads them: it plans the model's replays, too."""

from __future__ import annotations

from collections.abc import Iterable

from ops.dlq.plan import make_plan
from ops.dlq.selection import Selection
from processor.consumer import message_of
from processor.dead_letters import DeadLetter, distinct, read_letter
from processor.letters import letter_topic
from processor.offsets import Offsets
from processor.refresh import Request, request
from tests.model.kafka import Broker, Record
from tests.model.tables import ITEMS, PARTITIONS, TOPIC_OF

_TOPIC = TOPIC_OF["items"]
_PLACES = [(letter_topic(_TOPIC), n) for n in range(PARTITIONS)]


class Desk:
    """Where letters wait; `positions`: those before were replayed."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._positions: Offsets = dict.fromkeys(_PLACES, 0)

    @property
    def filled(self) -> list[int]:
        """Partitions with open letters."""
        return [n for (topic, n), at in self._positions.items() if at < len(self._broker.letters[topic, n])]

    @property
    def has_any(self) -> bool:
        """Whether there ever was one."""
        return any(self._broker.letters.values())

    def open_records(self, key: str) -> list[Record]:
        """Of a row, those that were not replayed."""
        open_now = (r for place, at in self._positions.items() for r in self._broker.letters[place][at:])
        return [record for record in open_now if _read(record).key == key]

    def newest(self, key: str) -> DeadLetter | None:
        """Of a row, whether replayed or not."""
        letters = (_read(record) for place in _PLACES for record in self._broker.letters[place])
        return max((n for n in letters if n.key == key), key=lambda n: n.offset, default=None)

    def replay(self, number: int, max_replays: int) -> tuple[list[Request], int]:
        """The commands for a partition's open letters, and where the next replay begins after them."""
        place = _PLACES[number]
        records = self._broker.letters[place]
        letters: Iterable[DeadLetter] = distinct(map(_read, records[self._positions[place] :]))
        plan = make_plan(letters, len(records), Selection(), max_replays, None)
        requests = [request(_TOPIC, ITEMS, row.values, row.command("model")) for row in plan.replayed]
        return requests, plan.position(len(requests))

    def move(self, number: int, position: int) -> None:
        """A replay commits its position."""
        self._positions[_PLACES[number]] = position


def _read(record: Record) -> DeadLetter:
    return read_letter(ITEMS, message_of(record))  # type: ignore[arg-type]
