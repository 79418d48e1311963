"""The plain consumer: what a straightforward implementation does with an event, and nothing more.

One event at a time: decode it, make its documents, embed its text, write it to one store after the other with
the stores' own clients, commit. No batches, no stamps, no comparing, no looking whether the text changed.
Decoding and documents are the processor's own code, so that the difference is how the work is organised.
"""

from __future__ import annotations

import json
import time
from typing import Any, Final

import neo4j
from confluent_kafka import Consumer, TopicPartition
from elasticsearch import Elasticsearch
from pymilvus import MilvusClient
from redis import Redis

from bench.feeder import cypher_of
from processor.change import Change
from processor.consumer import message_of
from processor.decode import Decoder
from processor.embedding.base import Encoder
from processor.offsets import Offsets
from processor.registry import SchemaRegistry
from processor.rows import Row
from processor.settings import Settings
from processor.stamp import UNREADABLE
from processor.stores.base import Put
from processor.stores.milvus import MilvusStore
from processor.stores.milvus_schema import entity_of_put
from processor.stores.neo4j_values import row_of
from processor.tables import by_topic
from processor.tables.base import Projection, View
from processor.vector import Vector, hash_text

WAIT_SECONDS: Final = 30


class PlainConsumer:
    """Applies changes to the views of a projection, whose containers exist already."""

    def __init__(self, settings: Settings, projection: Projection, encoder: Encoder, group: str) -> None:
        self._settings = settings
        self._projection = projection
        self._encoder = encoder
        self._topic = next(iter(by_topic(settings.kafka.topic_prefix, [projection])))
        self._schemas = SchemaRegistry(settings.registry)
        self._decoder = Decoder(self._schemas, {self._topic: projection})
        self._consumer = Consumer({**settings.kafka.client(), "group.id": group, "enable.auto.commit": False})
        auth = (settings.neo4j.user, settings.neo4j.password.get_secret_value())
        self._milvus = MilvusClient(settings.milvus.uri)
        self._neo4j = neo4j.GraphDatabase.driver(settings.neo4j.uri, auth=auth)
        self._search = Elasticsearch(settings.search.url)
        self._redis = Redis.from_url(settings.redis.url)

    def run(self, begin: Offsets, events: int) -> float:
        """Apply that many changes, which lie after `begin`; the seconds they took.

        One more comes first, unmeasured: connections are made and records fetched.
        """
        mine = [TopicPartition(*place, offset) for place, offset in begin.items() if place[0] == self._topic]
        self._consumer.assign(mine)
        self._next()
        began = time.perf_counter()
        for _ in range(events):
            self._next()
        return time.perf_counter() - began

    def _next(self) -> None:
        record = self._consumer.poll(WAIT_SECONDS)
        assert record is not None
        change = self._decoder.decode(message_of(record))
        assert isinstance(change, Change)
        assert change.after is not None
        for view in self._projection.views:
            _WRITE[view.store](self, view, change.key, change.after)
        self._consumer.commit(message=record, asynchronous=False)

    def _write_milvus(self, view: View, key: str, row: Row) -> None:
        text = self._projection.text(view, row) or ""
        model, dim = self._encoder.model, self._encoder.dim
        vector = Vector(self._encoder.encode([text])[0], model, hash_text(text))
        put = self._put(view, key, row, vector)
        name = MilvusStore(self._settings.milvus, model, dim).collection(view)
        self._milvus.upsert(name, [entity_of_put(view, put, model, dim)])

    def _write_neo4j(self, view: View, key: str, row: Row) -> None:
        self._neo4j.execute_query(cypher_of(view), rows=[row_of(view, self._put(view, key, row))])

    def _write_search(self, view: View, key: str, row: Row) -> None:
        index = f"{self._settings.search.index_prefix}{view.name}"
        self._search.index(index=index, id=key, document=self._projection.body(view, row))

    def _write_redis(self, view: View, key: str, row: Row) -> None:
        text = json.dumps(self._projection.body(view, row), ensure_ascii=False)
        self._redis.set(f"{view.name}:{key}", text, ex=3_600)

    def _put(self, view: View, key: str, row: Row, vector: Vector | None = None) -> Put:
        """Without a stamp to speak of."""
        return Put(key, None, UNREADABLE, self._projection.body(view, row), vector)

    def close(self) -> None:
        """Release the connections."""
        self._consumer.close()
        self._schemas.close()
        self._milvus.close()
        self._neo4j.close()
        self._search.close()
        self._redis.close()


_WRITE: Final[dict[str, Any]] = {
    "milvus": PlainConsumer._write_milvus,
    "neo4j": PlainConsumer._write_neo4j,
    "elasticsearch": PlainConsumer._write_search,
    "redis": PlainConsumer._write_redis,
}
