"""Snapshots that are ordered while changes flow: their rows may be older than what the stream has brought."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from confluent_kafka import Producer

from processor.change import Op
from processor.settings import Settings
from sql.models.cdc import Signal
from tests.chaos.load import under_load
from tests.chaos.versions import History
from tests.integration.outage import until
from tests.integration.path import delete, insert, policy, unique

STILL = 1_200
"""Rows that nobody changes: a snapshot in parts (of 1,024 rows) has sent them all when it is done."""
Order = Callable[[sa.Engine, Settings], None]


def incremental(engine: sa.Engine, settings: Settings) -> None:
    """Part by part, between changes; ordered by a row."""
    with engine.begin() as connection:
        connection.execute(
            sa.insert(Signal).values(
                id=uuid.uuid4().hex, type="execute-snapshot", data=json.dumps(_policies("incremental"))
            )
        )


def blocking(engine: sa.Engine, settings: Settings) -> None:
    """All at once, changes waiting meanwhile; ordered by a record."""
    order = {"id": uuid.uuid4().hex, "type": "execute-snapshot", "data": _policies("blocking")}
    producer = Producer(settings.kafka.client())
    prefix = settings.kafka.topic_prefix
    producer.produce(f"{prefix}-signal", key=prefix, value=json.dumps(order))
    assert producer.flush(10) == 0


def _policies(kind: str) -> dict[str, object]:
    return {"data-collections": ["public.policies"], "type": kind}


@pytest.mark.parametrize("order", [incremental, blocking])
def test_a_snapshot_under_load_ends_equal(
    pipeline: sa.Engine, settings: Settings, history: History, tmp_path: Path, order: Order
) -> None:
    prefix = unique("still")
    still = {f"{prefix}-{n}" for n in range(STILL)}
    insert(pipeline, [policy(key, title="그대로") for key in still])
    with under_load(pipeline, settings, tmp_path):
        order(pipeline, settings)
        until(lambda: still <= read_again(history))
    delete(pipeline, prefix)


def read_again(history: History) -> set[str]:
    """Keys of the rows that a snapshot of a running stream has sent."""
    return {change.key for change in history.changes() if change.op is Op.READ and change.position > 0}
