"""How fast the processor catches up, store by store and all together, beside a bare feeder.

Each round changes every row beside its text (regions and quality), so that every store has to write
every record and no text is embedded. Round by round, each configuration drains the same records of the same
topic, in its own group and into views of its own; then the feeder writes the same documents.

Run by `make bench` on the running local stack; it removes what it made.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import numpy as np
import sqlalchemy as sa
import typer
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.table import Table

from bench.feeder import Feeder, Puts
from bench.views import drop, own_views
from ops.connector.definition import SLOT
from ops.output import err, out
from processor.app import Processor
from processor.build import build, ensure_views, make_stores
from processor.offsets import GroupOffsets, Offsets
from processor.routes import consumed_topics
from processor.settings import Settings, load_settings
from processor.source import read_all
from processor.stamp import Stamp
from processor.stores.base import Put
from processor.tables.base import Projection
from processor.vector import Vector, hash_text
from sql.models import Policy
from sql.positions import mark, wait_streamed

STORES: Final = ("milvus", "neo4j", "elasticsearch", "redis")
TEXTS: Final = 50
"""Different texts among the rows: the vectors are made once, before anything is measured."""


@dataclass
class Contestant:
    """Somebody who takes every round, and what it took: wall and own CPU seconds."""

    name: str
    projection: Projection
    seconds: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Add what passes within."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu


def main(
    rows: Annotated[int, typer.Option(help="Rows that change in every round.")] = 2_000,
    rounds: Annotated[int, typer.Option(help="Rounds that are measured.")] = 4,
) -> None:
    """Measure catching up with changes beside the text."""
    settings = load_settings()
    run = uuid.uuid4().hex[:8]
    engine = sa.create_engine(settings.postgres.url(), poolclass=sa.NullPool)
    begin = _ends(settings)
    sides = [Contestant(name, own_views(f"{run}_{name}", name)) for name in STORES]
    sides.append(Contestant("all four", own_views(f"{run}_all", *STORES)))
    bare = Contestant("bare feeder", own_views(f"{run}_bare", *STORES))
    processors: dict[str, Processor] = {}
    stack = ExitStack()
    try:
        _change(engine, run, rows, 0)
        for side in sides:
            processors[side.name] = _processor(settings, side.projection, begin, f"bench-{run}-{side.name}")
            err.print(f"preparing {side.name}")
            processors[side.name].run(until_caught_up=True)
        feeder = stack.enter_context(closing(_feeder(settings, bare.projection)))
        for number in range(rounds + 1):  # the first creates the feeder's records and warms all up
            _change(engine, run, rows, number + 1)
            for side in sides if number else []:
                with side.measured():
                    processors[side.name].run(until_caught_up=True)
            batches = feeder.prepare(_puts(settings, engine, bare.projection, run, number))
            if number == 0:
                feeder.run(batches)
                for side in sides:
                    processors[side.name].run(until_caught_up=True)
            else:
                with bare.measured():
                    feeder.run(batches)
            err.print(f"round {number} of {rounds}")
        _print([*sides, bare], rows * rounds)
    finally:
        stack.close()
        for processor in processors.values():
            processor.close()
        with engine.begin() as connection:
            connection.execute(sa.delete(Policy).where(Policy.policy_id.startswith(run)))
        for side in [*sides, bare]:
            drop(settings, side.projection)
        groups = [f"bench-{run}-{name}" for name in processors]
        for gone in AdminClient(settings.kafka.client()).delete_consumer_groups(groups).values():
            gone.result()


def _change(engine: sa.Engine, run: str, rows: int, number: int) -> None:
    """Insert the rows (round 0) or change each of them, and wait until Kafka has that."""
    dice = random.Random(number)  # noqa: S311
    mine = Policy.policy_id.startswith(run)
    with engine.begin() as connection:
        if number == 0:
            connection.execute(sa.insert(Policy), [_row(run, n) for n in range(rows)])
        else:
            regions = [str(dice.randrange(11, 50)) for _ in range(3)]
            values = {"target_regions": regions, "quality_score": dice.random()}
            connection.execute(sa.update(Policy).where(mine).values(**values))
    wait_streamed(engine, SLOT, mark(engine), timeout_seconds=120)


def _row(run: str, number: int) -> dict[str, Any]:
    return {
        "policy_id": f"{run}-{number}",
        "title": f"소상공인 경영안정자금 {number % TEXTS}",
        "content": "경영 애로를 겪는 소상공인에게 운전자금을 융자합니다. " * 10,
        "issuing_organization": "소상공인시장진흥공단",
        "target_regions": ["11", "26"],
        "target_industries": ["G", "I", "J"],
        "source_system": "bench",
        "status": "active",
        "is_active": True,
        "quality_score": 0.5,
    }


def _processor(settings: Settings, projection: Projection, begin: Offsets, group: str) -> Processor:
    """A processor of its own group, which begins where the measurement began."""
    kafka = settings.kafka.model_copy(update={"group_id": group})
    consumer = Consumer({**kafka.client(), "group.id": group})
    consumer.commit(
        offsets=[TopicPartition(*place, offset) for place, offset in begin.items()], asynchronous=False
    )
    consumer.close()
    own = replace(settings, kafka=kafka)
    return Processor(own.processor, lambda stop: build(own, stop, (projection,)))


def _ends(settings: Settings) -> Offsets:
    group = GroupOffsets(settings.kafka, consumed_topics(settings.kafka.topic_prefix, (own_views(""),)))
    try:
        return group.ends()
    finally:
        group.close()


def _feeder(settings: Settings, projection: Projection) -> Feeder:
    stores = make_stores(settings)
    ensure_views(stores, (projection,))
    for store in stores:
        store.close()
    return Feeder(settings, projection)


def _puts(settings: Settings, engine: sa.Engine, projection: Projection, run: str, number: int) -> Puts:
    """The documents of this round, finished; vectors of random numbers are as long to write as real ones."""
    with engine.connect() as connection:
        mine = {key: row for key, row in read_all(connection, projection).items() if key.startswith(run)}
    dice = np.random.default_rng(0)
    values = dice.normal(size=settings.embedding.vector_dim).astype(np.float32)
    vector = Vector(values / np.linalg.norm(values), settings.embedding.model_id, hash_text(run))
    return {
        view: [
            Put(
                key,
                None,
                Stamp(number, number, number, projection.fingerprint(view, row)),
                projection.body(view, row),
                vector,
            )
            for key, row in mine.items()
        ]
        for view in projection.views
    }


def _print(sides: list[Contestant], changes: int) -> None:
    bare = sides[-1].seconds
    table = Table("", "changes/s", "of the bare feeder's", "own CPU", box=None, pad_edge=False)
    for side in sides:
        cells = (
            f"{changes / side.seconds:,.0f}",
            f"{bare / side.seconds:.2f}",
            f"{side.cpu / side.seconds:.0%}",
        )
        table.add_row(side.name, *cells)
    out.print(table)
    out.print("own CPU: of one core, this process' share of the time; the rest is waiting for the stores")


if __name__ == "__main__":
    typer.run(main)
