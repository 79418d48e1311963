"""How long a committed change takes until each store shows it: 20 single changes a second, beside the text.

A processor runs in this process, into views of its own. A store shows a change from the moment it
acknowledges the write: all four are read by key consistently, and a search of the index follows within its
refresh interval. A second consumer notes when the record could be consumed: until then it was Debezium's and
Kafka's.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import quantiles
from threading import Event, Thread
from typing import Annotated, Any, Final

import sqlalchemy as sa
import typer
from confluent_kafka import Consumer, TopicPartition
from rich.table import Table

from bench.catch_up import STORES, ends, make_processor, policy, remove_groups, remove_rows
from bench.views import drop, own_views
from ops.connector.client import Connect
from ops.connector.lifecycle import configure
from ops.connector.wait import wait_running
from ops.stack.layout import load_layout
from ops.stack.process import leader
from processor.app import Parts
from processor.offsets import Offsets
from processor.output import err, out
from processor.settings import Settings, load_settings
from processor.stores.base import Outcome, Store, Write
from processor.tables.base import View
from sql.capture import CONNECTOR, SLOT
from sql.models import Policy
from sql.positions import mark, wait_streamed

ROWS: Final = 200
"""At 20 changes a second a row changes every 10 s: one change of a row is on its way at a time."""
WARM_UP_SECONDS: Final = 5
"""Not counted: servers plan and compile what is new to them."""
IDLE_SECONDS: Final = 20
LAST_SECONDS: Final = 30
SERVERS: Final = ("connect", "kafka", "postgres")


@dataclass
class Trip:
    """One change; seconds of the clock when it was committed, could be consumed, was shown by each store."""

    committed: float = 0.0
    consumable: float = 0.0
    shown: dict[str, float] = field(default_factory=dict)


class Watch:
    """The trips, and who is on one now."""

    def __init__(self) -> None:
        self.trips: list[Trip] = []
        self._now: dict[str, Trip] = {}
        self._stop = Event()

    def begin(self, key: str) -> Trip:
        """A change of that row is about to be committed."""
        self._now[key] = Trip()
        self.trips.append(self._now[key])
        return self._now[key]

    def listen(self, parts: Parts) -> Parts:
        """Note when the processor's stores have acknowledged a write."""
        for store in parts.fanout.stores.values():
            store.apply = self._noting(store, store.apply)  # type: ignore[assignment, method-assign]
        return parts

    def _noting(
        self, store: Store, apply: Callable[[View, Sequence[Write]], list[Outcome]]
    ) -> Callable[[View, Sequence[Write]], list[Outcome]]:
        def noting(view: View, writes: Sequence[Write]) -> list[Outcome]:
            outcomes = apply(view, writes)
            now = time.perf_counter()
            for write in writes:
                if write.key in self._now:
                    self._now[write.key].shown.setdefault(store.name, now)
            return outcomes

        return noting

    @contextmanager
    def tailing(self, settings: Settings, begin: Offsets) -> Iterator[None]:
        """Note when records could be consumed."""
        consumer = Consumer({**settings.kafka.client(), "group.id": "bench", "enable.auto.commit": False})
        consumer.assign([TopicPartition(*place, offset) for place, offset in begin.items()])
        thread = Thread(target=self._tail, args=(consumer,))
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
            consumer.close()

    def _tail(self, consumer: Consumer) -> None:
        while not self._stop.is_set():
            record = consumer.poll(0.05)
            if record is not None and record.error() is None:
                trip = self._now.get(json.loads(record.key() or b"{}").get("policy_id"))
                if trip is not None and not trip.consumable:
                    trip.consumable = time.perf_counter()

    def wait(self) -> None:
        """Until every change was shown everywhere."""
        until = time.monotonic() + LAST_SECONDS
        while any(len(trip.shown) < len(STORES) or not trip.consumable for trip in self.trips):
            assert time.monotonic() < until, "changes did not arrive"
            time.sleep(0.1)


def main(
    rate: Annotated[int, typer.Option(help="Changes a second.")] = 20,
    seconds: Annotated[int, typer.Option(help="How long.")] = 60,
    poll_ms: Annotated[
        list[int] | None, typer.Option(help="Set the connector's poll.interval.ms to each of these, in turn.")
    ] = None,
    linger_ms: Annotated[int, typer.Option(help="And its producer's linger.ms to this.")] = 0,
) -> None:
    """Measure commit -> visible; with --poll-ms also what waiting for changes costs when there are none."""
    settings = load_settings()
    if not poll_ms:
        _print("", _measured(settings, rate, seconds))
        return
    connect = Connect(settings.connect)
    config = connect.config(CONNECTOR)
    assert config is not None
    try:
        for interval in poll_ms:
            changed = {"poll.interval.ms": str(interval), "producer.override.linger.ms": str(linger_ms)}
            _configure(settings, connect, config | changed)
            title = f"poll.interval.ms={interval}, linger.ms={linger_ms}; idle: {_idle_cpu()}"
            _print(title, _measured(settings, rate, seconds))
    finally:
        _configure(settings, connect, config)
        connect.close()


def _configure(settings: Settings, connect: Connect, config: dict[str, str]) -> None:
    configure(connect, CONNECTOR, config, settings.connect.timeout_seconds)
    wait_running(connect, CONNECTOR, settings.connect.timeout_seconds)


def _idle_cpu() -> str:
    """Of one core, by server, while nothing changes."""
    layout = load_layout()
    time.sleep(IDLE_SECONDS / 2)  # a task that has just started is busy
    before = {name: _cpu(layout, name) for name in SERVERS}
    time.sleep(IDLE_SECONDS)
    return ", ".join(f"{name} {(_cpu(layout, name) - before[name]) / IDLE_SECONDS:.0%}" for name in SERVERS)


def _cpu(layout: Any, service: str) -> float:
    found = leader(layout, service)
    assert found is not None, "needs a local stack: aegis stack up"
    everybody = [found, *found.children(recursive=True)]
    return sum(process.cpu_times().user + process.cpu_times().system for process in everybody)


def _measured(settings: Settings, rate: int, seconds: int) -> list[Trip]:
    run = uuid.uuid4().hex[:8]
    engine = sa.create_engine(settings.postgres.url())
    begin, watch, projection = ends(settings), Watch(), own_views(run, *STORES)
    with engine.begin() as connection:
        connection.execute(sa.insert(Policy), [policy(run, number) for number in range(ROWS)])
    wait_streamed(engine, SLOT, mark(engine), timeout_seconds=120)
    processor = make_processor(settings, projection, begin, f"bench-{run}", watch.listen)
    thread = Thread(target=processor.run)
    try:
        processor.run(until_caught_up=True)
        thread.start()
        with watch.tailing(settings, ends(settings)):
            _make_changes(engine, watch, run, rate, WARM_UP_SECONDS + seconds)
            watch.wait()
    finally:
        processor.stop()
        if thread.ident is not None:
            thread.join()
        processor.close()
        remove_rows(engine, run)
        drop(settings, projection)
        remove_groups(settings, [f"bench-{run}"])
    return watch.trips[rate * WARM_UP_SECONDS :]


def _make_changes(engine: sa.Engine, watch: Watch, run: str, rate: int, seconds: int) -> None:
    began = time.perf_counter()
    with engine.connect() as connection:
        for number in range(rate * seconds):
            time.sleep(max(0.0, began + number / rate - time.perf_counter()))
            key = f"{run}-{number % ROWS}"
            trip = watch.begin(key)
            values = {"target_regions": [str(number % 89)], "quality_score": number / (rate * seconds)}
            connection.execute(sa.update(Policy).where(Policy.policy_id == key).values(**values))
            connection.commit()
            trip.committed = time.perf_counter()
        err.print(f"{number + 1} changes")


def _print(title: str, trips: list[Trip]) -> None:
    source = [trip.consumable - trip.committed for trip in trips]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("ms, p50 / p99", "commit -> visible", "Debezium + Kafka", "ours"):
        table.add_column(heading, justify="left" if heading.startswith("ms") else "right")
    for store in STORES:
        total = [trip.shown[store] - trip.committed for trip in trips]
        ours = [trip.shown[store] - trip.consumable for trip in trips]
        table.add_row(store, _marks(total), _marks(source), _marks(ours))
    last = [max(trip.shown.values()) for trip in trips]
    total = [end - trip.committed for end, trip in zip(last, trips, strict=True)]
    ours = [end - trip.consumable for end, trip in zip(last, trips, strict=True)]
    table.add_row("all four", _marks(total), _marks(source), _marks(ours))
    out.print(table)


def _marks(values: list[float]) -> str:
    cuts = quantiles(values, n=100)
    return f"{1e3 * cuts[49]:.0f} / {1e3 * cuts[98]:.0f}"


if __name__ == "__main__":
    typer.run(main)
