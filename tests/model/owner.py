"""A processor: the real one, between simulated servers, pausing before everything that others could see."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any, cast
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from processor.app import Parts, Processor
from processor.breaker import Breaker
from processor.consumer import ChangeConsumer
from processor.decode import Decoder
from processor.embed import Embedder
from processor.errors import Unavailable
from processor.fanout import Fanout
from processor.lease import Lease
from processor.letters import LetterBox
from processor.refresher import Refresher
from processor.saga import Saga
from processor.settings import KafkaSettings, ProcessorSettings
from processor.source import Reading
from processor.stamp import Stamp
from processor.stores.base import Applied, Held, LostRace, Outcome, Put, Record, Refused, Remove, Write
from processor.stores.memory import MemoryStore
from processor.sweeper import Sweeper
from processor.tables.base import Projection, View
from processor.waiting import GroupWaiting
from tests.model.actor import Actor
from tests.model.kafka import Broker, SimulatedConsumer, SimulatedDelivery
from tests.model.postgres import Database
from tests.model.tables import ROUTES, TOPICS, Schemas
from tests.refusing import Says, nothing

EPOCH = 3
"""Stamps beyond 2**53, where doubles are no longer exact."""
FAIL = "fail"
"""The order that lets a store take a write and lose its answer."""
KAFKA = KafkaSettings.model_construct()
SETTINGS = ProcessorSettings.model_construct(epoch=EPOCH, batch_size=4)


class Letters:
    """An encoder that counts letters."""

    dim = 3

    def __init__(self, model: str) -> None:
        self.model = model

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counts = np.array([[1 + text.count(letter) for letter in "abc"] for text in texts], dtype=np.float32)
        vectors: NDArray[np.float32] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return vectors

    def close(self) -> None:
        pass


class Inline(ThreadPoolExecutor):
    """One call after the other: the order of the steps is the test's alone."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass
class SharedStore(MemoryStore):
    """What all processes write to.

    Attributes:
        removed: keys of records that ever went.
        refuses: writes that it does not take.
    """

    removed: set[str] = field(default_factory=set)
    refuses: Says = nothing


@dataclass
class Handle:
    """One process's connection to a store.

    A delete leaves no trace: a process that was evicted and does not know it may create again what its
    successor has removed. This one residual race (docs/guarantees.md) is excluded.
    """

    store: SharedStore
    pause: Callable[[str], Any]
    is_evicted: Callable[[], bool]

    @property
    def name(self) -> str:
        return self.store.name

    def ensure(self, view: View) -> None:
        self.store.ensure(view)

    def stamps(self, view: View, keys: Sequence[str]) -> dict[str, Held]:
        if not keys:
            return {}
        self.pause(f"stamps {self.name}")
        return self.store.stamps(view, keys)

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        order = self.pause(f"apply {self.name}")
        outcomes = [self._apply(view, write) for write in writes]
        if order == FAIL:
            raise Unavailable(self.name, "answer lost")
        return outcomes

    def _apply(self, view: View, write: Write) -> Outcome:
        key = write.key
        if self.store.refuses(view, write):
            return Refused("this world says so")
        creates = isinstance(write, Put) and write.expected is None
        if creates and key in self.store.removed and self.is_evicted():
            return LostRace()
        (outcome,) = self.store.apply(view, [write])
        if isinstance(write, Remove) and isinstance(outcome, Applied):
            self.store.removed.add(key)
        return outcome

    def read(self, view: View, keys: Sequence[str]) -> dict[str, Record]:
        return self.store.read(view, keys)

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
        self.pause(f"scan {self.name}")
        yield from self.store.scan(view, after)

    def count(self, view: View) -> int:
        return self.store.count(view)

    def settle(self, view: View) -> None:
        pass

    def ping(self) -> None:
        pass

    def close(self) -> None:
        pass


class Membership(Lease):
    """It ends when the group gives the process's partitions to others."""

    def __init__(self, is_evicted: Callable[[], bool]) -> None:
        super().__init__(math.inf)
        self._is_evicted = is_evicted

    def check(self, store: str, call_seconds: float) -> None:
        if self._is_evicted():
            raise Unavailable(store, "evicted")


class SimulatedReader:
    """Reads rows in one snapshot, but each row's `xmax` as it is when the row is read."""

    def __init__(self, database: Database, pause: Callable[[str], Any]) -> None:
        self._database = database
        self._pause = pause

    def read(self, projection: Projection, keys: Sequence[Mapping[str, Any]]) -> Reading:
        self._pause("snapshot")
        text, sees = self._database.look()
        self._pause("rows")
        while self._database.is_locked:
            self._pause("lock")
        found = self._database.rows(projection.name, sees)
        tags = [version.row for version in self._database.rows("tags", sees).values()]
        asked = [str(key[name]) for key in keys for name in projection.key_columns]
        versions = {key: found[key] for key in asked if key in found}
        rows = {
            key: {**version.row, "labels": sorted(tag["label"] for tag in tags if tag["item_id"] == key)}
            for key, version in versions.items()
        }
        lockers = {key: version.xmax for key, version in versions.items()}
        return Reading(rows, lockers, self._database.parse(text), self._database.end)

    def keys(self, projection: Projection) -> Iterator[dict[str, Any]]:
        """Of rows that readers are to see."""
        rows = self._database.rows(projection.name, self._database.look()[1])
        (column,) = projection.key_columns
        yield from ({column: key} for key, version in rows.items() if projection.predicate(version.row))


class Owner(Actor):
    """A process of the group, from its start to its end."""

    def __init__(
        self, name: str, database: Database, broker: Broker, stores: Sequence[SharedStore], model: str
    ) -> None:
        self.consumer = SimulatedConsumer(name, broker, self.pause)
        self._servers = (database, broker, stores, model)
        processor = Processor(SETTINGS, self._build)
        super().__init__(processor.run)

    def _is_evicted(self) -> bool:
        return self.consumer.member in self._servers[1].evicted

    def _build(self, stop: Event) -> Parts:
        database, broker, stores, model = self._servers
        with mock.patch("processor.consumer.Consumer", lambda _: self.consumer):
            consumer = ChangeConsumer(KAFKA, list(ROUTES))
        waiting = GroupWaiting(consumer, stop)
        handles: list[Any] = [Handle(store, self.pause, self._is_evicted) for store in stores]
        with mock.patch("processor.fanout.ThreadPoolExecutor", Inline):
            fanout = Fanout(handles, waiting, Embedder(Letters(model)), Membership(self._is_evicted))
        reader = cast(Any, SimulatedReader(database, self.pause))
        schemas = cast(Any, Schemas())
        group = cast(Any, broker)
        delivery = SimulatedDelivery(broker, self.pause)
        return Parts(
            consumer=consumer,
            waiting=waiting,
            group=group,
            schemas=schemas,
            decoder=Decoder(schemas, TOPICS),
            fanout=fanout,
            reader=reader,
            saga=Saga(fanout, EPOCH),
            refresher=Refresher(fanout, reader, EPOCH),
            sweeper=Sweeper(fanout, broker.ends, consumer.done_until),
            delivery=delivery,
            letters=LetterBox(delivery, KAFKA.group_id),
            breaker=Breaker(SETTINGS.dead_letter_ratio, SETTINGS.dead_letter_run),
            routes=ROUTES,
        )
