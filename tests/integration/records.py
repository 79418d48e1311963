"""Reads what is in a topic, as bytes and decoded with the schema that it was written with."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import httpx
from confluent_kafka import Consumer, Message, TopicPartition

from processor.settings import Settings
from tests.integration.path import unique


def ends(settings: Settings, topic: str) -> dict[int, tuple[int, int]]:
    """Partition -> first and next offset."""
    consumer = Consumer({"bootstrap.servers": settings.kafka.bootstrap_servers, "group.id": unique("look")})
    numbers = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    found = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=10) for n in numbers}
    consumer.close()
    return found


def records(settings: Settings, topic: str, begin: dict[int, int]) -> list[Message]:
    """All records of a topic from `begin` (by partition) to what is its end now."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": unique("look"),
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,  # a partition at its end holds up the next one so long
        }
    )
    found = []
    for number, (_, end) in ends(settings, topic).items():
        consumer.assign([TopicPartition(topic, number, begin[number])])
        position = begin[number]
        while position < end:
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            found.append(message)
            position = (message.offset() or 0) + 1
    consumer.close()
    return found


def schema_of(settings: Settings, value: bytes | None) -> dict[str, Any]:
    """The Avro schema that a record names by its id: a zero byte, four bytes of id."""
    assert value is not None
    assert value[0] == 0
    number = int.from_bytes(value[1:5], "big")
    answer = httpx.get(f"{settings.registry.url}/schemas/ids/{number}").raise_for_status()
    schema: dict[str, Any] = json.loads(answer.json()["schema"])
    return schema


def decoded(settings: Settings, value: bytes | None) -> Any:
    """A record's value."""
    schema = fastavro.parse_schema(schema_of(settings, value))
    return fastavro.schemaless_reader(io.BytesIO((value or b"")[5:]), schema, None)
