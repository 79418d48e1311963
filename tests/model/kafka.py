"""Kafka as it matters here: partitions, committed offsets, and a group whose members may be late."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from processor.delivery import Delivery, Parcel, partition_of
from processor.offsets import Offsets
from tests.model.actor import CLOCK
from tests.model.tables import LETTER_PLACES, PARTITIONS, PLACES

Split = Mapping[str, frozenset[int]]
"""Member -> numbers of its partitions, of every topic (assignor `range`)."""


@dataclass(frozen=True)
class Record:
    """A record as the client hands it out."""

    place: tuple[str, int]
    number: int
    raw_key: bytes | None
    raw_value: bytes | None
    raw_headers: tuple[tuple[str, bytes], ...] = ()

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return self.place[0]

    def partition(self) -> int:
        return self.place[1]

    def offset(self) -> int:
        return self.number

    def key(self) -> bytes | None:
        return self.raw_key

    def value(self) -> bytes | None:
        return self.raw_value

    def headers(self) -> list[tuple[str, bytes]]:
        return list(self.raw_headers)

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000


@dataclass
class Broker:
    """Topics and one consumer group.

    Attributes:
        letters: records of dead-letter topics, which the group does not read.
        split: what the group has agreed upon; members learn of it when they poll.
        wanted: what it will agree upon, once all of `joining` have polled.
        evicted: members that did not poll for too long and do not know.
    """

    records: dict[tuple[str, int], list[Record]] = field(default_factory=lambda: {p: [] for p in PLACES})
    letters: dict[tuple[str, int], list[Record]] = field(
        default_factory=lambda: {p: [] for p in LETTER_PLACES}
    )
    offsets: Offsets = field(default_factory=dict)
    split: Split = field(default_factory=dict)
    wanted: Split = field(default_factory=dict)
    joining: set[str] = field(default_factory=set)
    evicted: set[str] = field(default_factory=set)

    def append(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        place = (topic, partition)
        log = (self.records if place in self.records else self.letters)[place]
        log.append(Record(place, len(log), key, value, tuple(headers)))

    def ends(self) -> Offsets:
        return {place: len(log) for place, log in self.records.items()}

    def committed(self) -> Offsets:
        return {place: self.offsets.get(place, 0) for place in self.records}

    def close(self) -> None:
        pass

    def rebalance(self, split: Split) -> None:
        """Begin one among the members that `split` names."""
        self.wanted, self.joining, self.split = split, set(split), {}

    def join(self, member: str) -> None:
        """It has given up what it had."""
        self.joining.discard(member)
        if not self.joining:
            self.split = self.wanted

    def evict(self, member: str) -> None:
        """It did not poll: all partitions go to those that do."""
        self.evicted.add(member)
        self.leave(member)

    def leave(self, member: str) -> None:
        others = [name for name in (self.wanted or self.split) if name != member]
        share = frozenset(range(PARTITIONS))
        self.rebalance({name: share if name == others[0] else frozenset() for name in others})

    def commit(self, member: str, offsets: Offsets) -> None:
        """Refused, as the group has another generation, for a member that was evicted."""
        if member not in self.evicted:
            self.offsets |= offsets


class SimulatedConsumer:
    """`confluent_kafka.Consumer` for one member. `pause` returns how many records, and from where."""

    def __init__(self, member: str, broker: Broker, pause: Callable[[str], Any]) -> None:
        """`served` counts records and events of the group."""
        self.member = member
        self.stored: Offsets = {}
        self.served = 0
        self._broker = broker
        self._pause = pause
        self._positions: Offsets = {}
        self._delivered: Offsets = {}
        self._split: Split | None = None
        self._paused = False
        self._quota = (0, 0)

    def subscribe(self, topics: Sequence[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost

    @property
    def filled(self) -> list[int]:
        """Which of its places have more records; at least one."""
        ends = self._broker.ends()
        return [n for n, (place, at) in enumerate(self._positions.items()) if at < ends[place]] or [0]

    def poll(self, seconds: float) -> Record | None:
        """One event of the group, or one record."""
        self._quota = self._pause("hold" if self._paused else "poll") or (0, 0)
        CLOCK.tick()
        if self._group():
            self.served += 1
            self._quota = (0, 0)
            return None
        return next(iter(self._take(1)), None)

    def consume(self, count: int, timeout: float) -> list[Record]:
        return self._take(count)

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*place) for place in self._positions]

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._positions = {(p.topic, p.partition): p.offset for p in partitions}

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused = True

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """It goes on behind what it has delivered, be it in an earlier assignment."""
        self._paused = False
        self._positions |= {
            place: max(at, self._delivered.get(place, 0)) for place, at in self._positions.items()
        }

    def seek(self, partition: TopicPartition) -> None:
        self._positions[partition.topic, partition.partition] = partition.offset

    def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        known = self._broker.offsets
        return [
            TopicPartition(p.topic, p.partition, known.get((p.topic, p.partition), -1)) for p in partitions
        ]

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        return 0, len(self._broker.records[partition.topic, partition.partition])

    def store_offsets(self, offsets: Sequence[TopicPartition]) -> None:
        if any((p.topic, p.partition) not in self._positions for p in offsets):
            raise KafkaException(KafkaError(KafkaError._STATE))
        self.stored |= {(p.topic, p.partition): p.offset for p in offsets}

    def commit(self, offsets: Sequence[TopicPartition] = (), asynchronous: bool = True) -> None:
        """Those given, else in the background what was stored."""
        given = {(p.topic, p.partition): p.offset for p in offsets}
        self._broker.commit(self.member, given or self.stored)

    def close(self) -> None:
        self.commit()

    def _group(self) -> bool:
        """Whether this poll served the group: partitions taken away, or given."""
        broker = self._broker
        if self.member in broker.evicted:
            broker.evicted.remove(self.member)
            self._give_up(self._on_lost)
            return True
        if self.member in broker.joining:
            self.commit()
            self._give_up(self._on_revoke)
            broker.join(self.member)
            return True
        if self._split is not broker.split and self.member in broker.split:
            self._split = broker.split
            numbers = broker.split[self.member]
            self._on_assign(self, [TopicPartition(*place) for place in PLACES if place[1] in numbers])
            return True
        return False

    def _give_up(self, callback: Any) -> None:
        if self._split is not None:
            callback(self, self.assignment())
        self._positions, self.stored, self._split = {}, {}, None

    def _take(self, count: int) -> list[Record]:
        """From one place after the other, beginning with the one that was ordered."""
        taken: list[Record] = []
        left, first = self._quota
        places = list(self._positions) if not self._paused else []
        for place in places[first:] + places[:first]:
            position = self._positions[place]
            found = self._broker.records[place][position : position + min(left, count - len(taken))]
            taken += found
            left -= len(found)
            self._positions[place] += len(found)
            self._delivered[place] = self._positions[place]
        self.served += len(taken)
        self._quota = (left, first)
        return taken


class SimulatedDelivery(Delivery):
    """A producer that writes at once."""

    def __init__(self, broker: Broker, pause: Callable[[str], Any]) -> None:
        self._broker = broker
        self._pause = pause

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        if not parcels:
            return
        self._pause("send")
        for parcel in parcels:
            partition = parcel.partition
            if partition is None:
                assert parcel.key is not None
                partition = partition_of(parcel.key, PARTITIONS)
            self._broker.append(parcel.topic, partition, parcel.key, parcel.value, parcel.headers)
