"""Drives the whole path: writes rows, waits until they are in Kafka, runs the processor, compares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from confluent_kafka import Consumer, TopicPartition
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.build import make_stores
from processor.compare import Comparison, State, compare
from processor.offsets import GroupOffsets, Offsets, group_members
from processor.refresh import PREFIX
from processor.routes import consumed_topics
from processor.settings import Settings
from processor.source import read_all
from processor.stores.base import Record, Store
from processor.tables import PROJECTIONS
from processor.tables.base import View
from sql.capture import SLOT
from sql.models import Policy
from sql.positions import mark, wait_streamed
from tests.integration.conftest import ROOT

POLICIES: sa.Table = Policy.__table__  # type: ignore[assignment]
Place = tuple[str, str, str]
"""Store, table and key of a record."""


def policy(key: str, **changes: Any) -> dict[str, Any]:
    """A policy row, ready to insert."""
    return {
        "policy_id": key,
        "title": f"소상공인 경영안정자금 {key}",
        "content": "경영 애로를 겪는 소상공인에게 운전자금을 융자합니다.",
        "issuing_organization": "소상공인시장진흥공단",
        "target_regions": ["11", "41"],
        "target_industries": ["G", "I"],
        "source_system": "test",
        "source_record_id": key,
        "status": "active",
        "is_active": True,
        "quality_score": 0.8,
        **changes,
    }


def unique(name: str) -> str:
    """A key of its own for this run."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def insert(engine: sa.Engine, rows: Iterable[Mapping[str, Any]]) -> None:
    with engine.begin() as connection:
        connection.execute(sa.insert(POLICIES), list(rows))


def update(engine: sa.Engine, key: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(POLICIES).where(POLICIES.c.policy_id == key).values(**values))


def delete(engine: sa.Engine, prefix: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.delete(POLICIES).where(POLICIES.c.policy_id.startswith(prefix, autoescape=True))
        )


def in_kafka(engine: sa.Engine) -> None:
    """Wait until everything committed before is in Kafka."""
    wait_streamed(engine, SLOT, mark(engine), timeout_seconds=60)


def catch_up(engine: sa.Engine, settings: Settings) -> None:
    """Wait until the running processor has committed everything that was committed before."""
    in_kafka(engine)
    group = GroupOffsets(settings.kafka, consumed_topics(settings.kafka.topic_prefix))
    ends, before = group.ends(), Offsets()
    patiently = Retrying(
        retry=retry_if_result(lambda lag: lag > 0), wait=wait_fixed(0.1), stop=stop_after_delay(300)
    )
    while ends != before:  # changes cause commands
        patiently(group.lag, ends)
        before = ends
        ends = ends | {place: end for place, end in group.ends().items() if place[0].startswith(PREFIX)}
    group.close()


def start_processor(log: Path = Path(os.devnull), **settings: str) -> subprocess.Popen[bytes]:
    """A processor of its own process, with other settings if need be; the caller ends it."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [Path(sys.executable).with_name("aegis"), "process"],
            cwd=ROOT,
            env={**os.environ, **settings},
            stdout=subprocess.DEVNULL,
            stderr=output,
        )


@contextmanager
def processor_running() -> Iterator[None]:
    """A processor that runs meanwhile, and ends in good order."""
    process = start_processor()
    yield
    process.terminate()
    assert process.wait(timeout=30) == 0


def joined(settings: Settings) -> None:
    """Wait until a processor is in the group."""
    patiently = Retrying(
        retry=retry_if_result(lambda n: not n), wait=wait_fixed(0.2), stop=stop_after_delay(60)
    )
    patiently(group_members, settings.kafka)


def records_of(store: Store, view: View) -> dict[str, Record]:
    """Everything that a view holds, read in pages."""
    store.settle(view)
    keys = [key for key, _ in store.scan(view)]
    found: dict[str, Record] = {}
    for start in range(0, len(keys), 500):
        found |= store.read(view, keys[start : start + 500])
    return found


def assert_stores_equal_postgresql(settings: Settings, engine: sa.Engine) -> int:
    """Every view holds exactly the projection of its table, field by field; returns records compared.

    Only a cache may lack a record: its entries expire.
    """
    compared, different = compare_stores(settings, engine)
    assert different == {}
    return compared


def compare_stores(settings: Settings, engine: sa.Engine) -> tuple[int, dict[Place, Comparison]]:
    """How many records there are, and what is to be said of those that are not as they should be."""
    compared = 0
    different: dict[Place, Comparison] = {}
    stores = {store.name: store for store in make_stores(settings)}
    for projection in PROJECTIONS:
        with engine.connect() as connection:
            rows = read_all(connection, projection)
        for view in projection.views:
            found = records_of(stores[view.store], view)
            for key in rows.keys() | found.keys():
                judged = compare(projection, view, rows.get(key), found.get(key), settings.embedding.model_id)
                if judged.state not in (State.OK, State.NOT_PROJECTED):
                    different[view.store, projection.name, key] = judged
            compared += len(found)
    for store in stores.values():
        store.close()
    return compared, different


def letters_of(settings: Settings, key: str, topic: str = "dlq.aegis.public.policies") -> list[Any]:
    """All dead letters whose original key names `key`, as Kafka messages."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": unique("look"),
            "enable.auto.commit": False,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    wanted = json.dumps({"policy_id": key}, ensure_ascii=False, separators=(",", ":")).encode()
    found = []
    for number in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
        consumer.assign([TopicPartition(topic, number, low)])
        for _ in range(high - low):
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            if message.key() == wanted:
                found.append(message)
    consumer.close()
    return found
