"""A table whose key has several columns, on its whole way: its own connector, all four stores."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from sqlalchemy.dialects.postgresql import ARRAY

from processor.app import Processor
from processor.build import build, make_stores
from processor.compare import State, compare
from processor.keys import key_text
from processor.letters import letter_topic
from processor.settings import Settings
from processor.source import read_all
from processor.refresh import refresh_topic
from processor.tables.base import Edge, FieldType, Projection, Text, View
from tests.integration.test_second_connector import Second, second_connector

NAME = "composite_test"
NOTES = sa.Table(
    NAME,
    sa.MetaData(),
    sa.Column("policy_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("tags", ARRAY(sa.Text), nullable=False),
)
FIELDS = {
    "policy_id": FieldType.KEYWORD,
    "number": FieldType.LONG,
    "day": FieldType.DATE,
    "note": FieldType.KOREAN,
}
TAGGED = {**FIELDS, "tags": FieldType.KEYWORDS}
NOTE = Text(("note",), lambda row: str(row["note"]))
PROJECTION = Projection(
    model=NOTES,
    only_when={},
    views=(
        View("milvus", NAME, TAGGED, text=NOTE),
        View("neo4j", "CompositeTest", FIELDS, edges=(Edge("tags", "TAGGED", "CompositeTag", "name"),)),
        View("elasticsearch", "composite-test", TAGGED),
        View("redis", NAME, TAGGED, invalidates=("composite_tags:{tags}",)),
    ),
)
DAY = datetime.date(2025, 1, 1)


def note(key: str, number: int, **changes: Any) -> dict[str, Any]:
    return {
        "policy_id": key,
        "number": number,
        "day": DAY,
        "note": f"메모 {number}",
        "tags": ["가", "나"],
        **changes,
    }


@pytest.fixture
def source(pipeline: sa.Engine, settings: Settings) -> Iterator[Second]:
    """The table with its publication, its connector and its topics."""
    with second_connector(settings, pipeline) as second:
        with pipeline.begin() as connection:
            NOTES.drop(connection, checkfirst=True)
            NOTES.create(connection)
            connection.execute(sa.text(f"ALTER TABLE {NAME} REPLICA IDENTITY FULL"))
            connection.execute(sa.text(f"GRANT SELECT ON {NAME} TO {settings.postgres.debezium_user}"))
            connection.execute(
                sa.text(f"CREATE PUBLICATION {second.name} FOR TABLE {NAME}, cdc.heartbeat, cdc.fence")
            )
        topic = f"{second.name}.public.{NAME}"
        admin = AdminClient(settings.kafka.client())
        made = [NewTopic(name, 3, 1) for name in (topic, refresh_topic(topic), letter_topic(topic))]
        for future in admin.create_topics(made).values():
            future.result()
        second.apply(
            publication__name=second.name, table__include__list=f"public.{NAME},cdc.heartbeat,cdc.fence"
        )
        yield second
        second.remove()
        with pipeline.begin() as connection:
            connection.execute(sa.text(f"DROP PUBLICATION {second.name}"))
            NOTES.drop(connection)


def test_a_composite_key_names_its_record_in_every_store(
    pipeline: sa.Engine, settings: Settings, source: Second
) -> None:
    mine = uuid.uuid4().hex
    awkward = f"it's 100%, a=b {mine}"
    with pipeline.begin() as connection:
        connection.execute(sa.insert(NOTES), [note(awkward, number) for number in range(5)])
        connection.execute(sa.insert(NOTES), [note(f"{awkward}2", 1, tags=[])])
    assert_equal_after_catching_up(pipeline, settings, source, mine, 6)
    with pipeline.begin() as connection:
        row = sa.and_(NOTES.c.policy_id == awkward, NOTES.c.number == 1)
        connection.execute(sa.update(NOTES).where(row).values(note="바뀐 메모", tags=["다"]))
        connection.execute(sa.update(NOTES).where(NOTES.c.number == 2).values(day=DAY.replace(year=2026)))
        connection.execute(sa.delete(NOTES).where(NOTES.c.number == 3))
    assert_equal_after_catching_up(pipeline, settings, source, mine, 5)
    with pipeline.begin() as connection:
        connection.execute(sa.delete(NOTES))
    assert_equal_after_catching_up(pipeline, settings, source, mine, 0)


def assert_equal_after_catching_up(
    engine: sa.Engine, settings: Settings, source: Second, mine: str, count: int
) -> None:
    source.caught_up()
    kafka = settings.kafka.model_copy(update={"topic_prefix": source.name, "group_id": source.name})
    own = dataclasses.replace(settings, kafka=kafka)
    processor = Processor(own.processor, lambda stop: build(own, stop, (PROJECTION,)))
    assert processor.run(until_caught_up=True)
    processor.close()
    with engine.connect() as connection:
        rows = read_all(connection, PROJECTION)
    assert len(rows) == count
    assert all(key == key_text(PROJECTION.key_columns, row) for key, row in rows.items())
    stores = {store.name: store for store in make_stores(settings)}
    for view in PROJECTION.views:
        stores[view.store].settle(view)
        keys = [key for key, _ in stores[view.store].scan(view) if mine in key]
        found = stores[view.store].read(view, keys)
        assert found.keys() == rows.keys()
        for key, row in rows.items():
            judged = compare(PROJECTION, view, row, found[key], settings.embedding.model_id)
            assert judged.state is State.OK, (view.store, key, judged)
    for store in stores.values():
        store.close()
