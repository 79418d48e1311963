"""How fast the processor catches up, beside a plain consumer and a bare feeder.

Each round changes every row beside its text (regions and quality), so that every store has to write
every record and no text has to be embedded anew. Round by round, each contestant works on the same records of
the same topic, into views of its own; the feeder writes the same documents.

Run by `make bench` on the running local stack; it removes what it made.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Annotated, Any, Final

import numpy as np
import sqlalchemy as sa
import typer
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.table import Table

from bench.feeder import Feeder, Puts
from bench.plain import PlainConsumer
from bench.views import drop, own_views
from processor.app import Parts, Processor
from processor.build import build, ensure_views, make_stores
from processor.embedding import load_encoder
from processor.offsets import GroupOffsets, Offsets
from processor.output import err, out
from processor.routes import consumed_topics
from processor.settings import Settings, load_settings
from processor.source import read_all
from processor.stamp import Stamp
from processor.stores.base import Put
from processor.tables.base import Projection
from processor.vector import Vector, hash_text
from sql.capture import SLOT
from sql.models import Policy
from sql.positions import mark, wait_streamed

STORES: Final = ("milvus", "neo4j", "elasticsearch", "redis")
TEXTS: Final = 50
"""Different texts among the rows: the vectors are made once, before anything is measured."""


@dataclass
class Contestant:
    """Somebody who takes every round, and what it took per change: wall and own CPU seconds, by round."""

    name: str
    projection: Projection
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def measured(self, changes: int) -> Iterator[None]:
        """Add what passes within."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds.append((time.perf_counter() - wall) / changes)
        self.cpu.append((time.process_time() - cpu) / changes)

    def speed(self, other: Contestant) -> float:
        """How many times as fast as another one: the median of the rounds' ratios."""
        return median(theirs / mine for theirs, mine in zip(other.seconds, self.seconds, strict=True))


def main(
    rows: Annotated[int, typer.Option(help="Rows that change in every round.")] = 5_000,
    rounds: Annotated[int, typer.Option(help="Rounds that are measured.")] = 4,
    plain_events: Annotated[int, typer.Option(help="Of a round, what the plain consumer is given.")] = 100,
    alone: Annotated[bool, typer.Option(help="Measure each store alone, too.")] = False,
) -> None:
    """Measure catching up with changes beside the text."""
    settings = load_settings()
    run = uuid.uuid4().hex[:8]
    engine = sa.create_engine(settings.postgres.url(), poolclass=sa.NullPool)
    begin = ends(settings)
    sides = [Contestant("processor", own_views(f"{run}_all", *STORES))]
    sides += [Contestant(f"{name} alone", own_views(f"{run}_{name}", name)) for name in STORES if alone]
    plain = Contestant("plain consumer", own_views(f"{run}_plain", *STORES))
    bare = Contestant("bare feeder", own_views(f"{run}_bare", *STORES))
    processors: dict[str, Processor] = {}
    groups = [f"bench-{run}-{number}" for number in range(len(sides) + 1)]
    stack = ExitStack()
    try:
        _change(engine, run, rows, 0)
        for side, group in zip(sides, groups, strict=False):
            err.print(f"preparing {side.name}")
            processors[side.name] = make_processor(settings, side.projection, begin, group)
            stack.callback(processors[side.name].close)
            processors[side.name].run(until_caught_up=True)
        _make_views(settings, plain.projection, bare.projection)
        encoder = stack.enter_context(closing(load_encoder(settings.embedding)))
        simple = stack.enter_context(closing(PlainConsumer(settings, plain.projection, encoder, groups[-1])))
        feeder = stack.enter_context(closing(Feeder(settings, bare.projection)))
        for number in range(rounds + 1):  # the first creates the feeder's records and warms all up
            place = ends(settings)
            _change(engine, run, rows, number + 1)
            batches = feeder.prepare(_puts(settings, engine, bare.projection, run, number))
            for side in sides:
                with side.measured(rows):
                    processors[side.name].run(until_caught_up=True)
            plain.seconds.append(simple.run(place, plain_events) / plain_events)
            plain.cpu.append(0)
            with bare.measured(rows):
                feeder.run(batches)
            ratio = bare.seconds[-1] / sides[0].seconds[-1]
            err.print(f"round {number} of {rounds}: {ratio:.2f} of the bare feeder's")
        everybody = [*sides, plain, bare]
        for side in everybody:
            del side.seconds[0], side.cpu[0]
        _print(everybody)
    finally:
        stack.close()
        remove_rows(engine, run)
        for side in [*sides, plain, bare]:
            drop(settings, side.projection)
        remove_groups(settings, groups)


def _change(engine: sa.Engine, run: str, rows: int, number: int) -> None:
    """Insert the rows (round 0) or change each of them, and wait until Kafka has that."""
    dice = random.Random(number)  # noqa: S311
    mine = Policy.policy_id.startswith(run)
    with engine.begin() as connection:
        if number == 0:
            connection.execute(sa.insert(Policy), [policy(run, n) for n in range(rows)])
        else:
            regions = [str(dice.randrange(11, 50)) for _ in range(3)]
            values = {"target_regions": regions, "quality_score": dice.random()}
            connection.execute(sa.update(Policy).where(mine).values(**values))
    wait_streamed(engine, SLOT, mark(engine), timeout_seconds=120)


def policy(run: str, number: int) -> dict[str, Any]:
    """A row of this run, ready to insert."""
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


def remove_rows(engine: sa.Engine, run: str) -> None:
    """Delete what `policy` made for this run."""
    with engine.begin() as connection:
        connection.execute(sa.delete(Policy).where(Policy.policy_id.startswith(run)))


def make_processor(
    settings: Settings,
    projection: Projection,
    begin: Offsets,
    group: str,
    fit: Callable[[Parts], Parts] = lambda parts: parts,
) -> Processor:
    """A processor of its own group, which begins where the measurement began; `fit` may add to its parts."""
    kafka = settings.kafka.model_copy(update={"group_id": group})
    consumer = Consumer({**kafka.client(), "group.id": group})
    consumer.commit(
        offsets=[TopicPartition(*place, offset) for place, offset in begin.items()], asynchronous=False
    )
    consumer.close()
    own = replace(settings, kafka=kafka)
    return Processor(own.processor, lambda stop: fit(build(own, stop, (projection,))))


def remove_groups(settings: Settings, groups: list[str]) -> None:
    """Delete consumer groups that nobody is in any more; one that never committed is no error."""
    admin = AdminClient(settings.kafka.client())  # held: a client that is gone answers no future
    for gone in admin.delete_consumer_groups(groups).values():
        gone.exception()


def ends(settings: Settings) -> Offsets:
    """The present ends of the policies' topics."""
    group = GroupOffsets(settings.kafka, consumed_topics(settings.kafka.topic_prefix, (own_views(""),)))
    try:
        return group.ends()
    finally:
        group.close()


def _make_views(settings: Settings, *projections: Projection) -> None:
    stores = make_stores(settings)
    ensure_views(stores, projections)
    for store in stores:
        store.close()


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


def _print(sides: list[Contestant]) -> None:
    plain, bare = sides[-2:]
    table = Table(box=None, pad_edge=False)
    for heading in ("", "changes/s", "of the bare feeder's", "x plain consumer", "own CPU, ms a change"):
        table.add_column(heading, justify="right" if heading else "left")
    for side in sides:
        table.add_row(
            side.name,
            f"{1 / median(side.seconds):,.0f}",
            f"{side.speed(bare):.2f}",
            f"{side.speed(plain):.0f}",
            f"{1e3 * median(side.cpu):.2f}" if any(side.cpu) else "",
        )
    out.print(table)
    out.print("ratios: the median of the rounds' own; own CPU: this process' alone, without the servers'")


if __name__ == "__main__":
    typer.run(main)
