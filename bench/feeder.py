"""The bare feeder: what no consumer can beat. It is given finished documents, reads what the processor reads
of every record, and writes all of them to the four stores at once, by the stores' own clients.

It decodes nothing, decides nothing, compares nothing, and keeps no place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import neo4j
from elasticsearch import Elasticsearch
from pymilvus import MilvusClient
from redis import Redis

from processor.settings import Settings
from processor.stores.base import Put
from processor.stores.milvus import MilvusStore
from processor.stores.milvus_schema import columns_of, entity_of_put, one_of
from processor.stores.neo4j_values import row_of
from processor.tables.base import FieldType, Projection, View

BATCH = 500
Puts = Mapping[View, Sequence[Put]]
"""All documents of one round, in the order of their keys, by view."""
Feed = Callable[[], None]


def cypher_of(view: View) -> str:
    """The statement that makes nodes and relations be as `row_of` says, whatever they were."""
    times = [name for name, kind in view.fields.items() if kind is FieldType.TIMESTAMP]
    parts = [f"UNWIND $rows AS row MERGE (n:{view.name} {{_key: row.key}}) SET n = row.properties"]
    parts += [f"SET n.{name} = datetime(row.properties.{name})" for name in times]
    for number, edge in enumerate(view.edges):
        target = f"(t:{edge.label} {{{edge.name}: name}})"
        parts.append(
            f"WITH n, row, [(n)-[r:{edge.type}]->(t) WHERE NOT t.{edge.name} IN row.names[{number}] | r]"
            f" AS old FOREACH (r IN old | DELETE r) "
            f"FOREACH (name IN row.names[{number}] | MERGE {target} MERGE (n)-[:{edge.type}]->(t))"
        )
    return " ".join(parts)


class Feeder:
    """Writes rounds of documents into the views of a projection, whose containers exist already."""

    def __init__(self, settings: Settings, projection: Projection) -> None:
        self._settings = settings
        self._view = projection.view
        auth = (settings.neo4j.user, settings.neo4j.password.get_secret_value())
        self._milvus = MilvusClient(settings.milvus.uri)
        self._neo4j = neo4j.GraphDatabase.driver(settings.neo4j.uri, auth=auth)
        self._search = Elasticsearch(settings.search.url)
        self._redis = Redis.from_url(settings.redis.url)
        self._threads = ThreadPoolExecutor(4)

    def prepare(self, puts: Puts) -> list[list[Feed]]:
        """Batches of one round, ready to be written: per batch one call per store."""
        makers = {
            "milvus": self._feed_milvus,
            "neo4j": self._feed_neo4j,
            "elasticsearch": self._feed_search,
            "redis": self._feed_redis,
        }
        size = len(next(iter(puts.values())))
        return [
            [makers[view.store](view, items[start : start + BATCH]) for view, items in puts.items()]
            for start in range(0, size, BATCH)
        ]

    def run(self, batches: Sequence[Sequence[Feed]]) -> None:
        """Write them: one batch after the other, in all stores at once."""
        for batch in batches:
            for written in [self._threads.submit(feed) for feed in batch]:
                written.result()

    def close(self) -> None:
        """Release the connections."""
        self._threads.shutdown()
        self._milvus.close()
        self._neo4j.close()
        self._search.close()
        self._redis.close()

    def _feed_milvus(self, view: View, puts: Sequence[Put]) -> Feed:
        model, dim = self._settings.embedding.model_id, self._settings.embedding.vector_dim
        name = MilvusStore(self._settings.milvus, model, dim).collection(view)
        entities = [entity_of_put(view, put, model, dim) for put in puts]
        filter_, columns = one_of(put.key for put in puts), list(columns_of(view, dim))

        def feed() -> None:
            self._milvus.query(name, filter=filter_, output_fields=columns, consistency_level="Strong")
            self._milvus.upsert(name, entities)

        return feed

    def _feed_neo4j(self, view: View, puts: Sequence[Put]) -> Feed:
        rows = [row_of(view, put) for put in puts]
        keys = [put.key for put in puts]
        read = f"UNWIND $keys AS key MATCH (n:{view.name} {{_key: key}}) RETURN key, n._version, n._fp"
        write = cypher_of(view)

        def feed() -> None:
            self._neo4j.execute_query(read, keys=keys)
            self._neo4j.execute_query(write, rows=rows)

        return feed

    def _feed_search(self, view: View, puts: Sequence[Put]) -> Feed:
        index = f"{self._settings.search.index_prefix}{view.name}"
        ids = [put.key for put in puts]
        operations: list[dict[str, Any]] = []
        for put in puts:
            document = {**put.body, "_stamp": {"key": put.key, **put.stamp.to_text()}}
            operations += [{"index": {"_id": put.key}}, document]

        def feed() -> None:
            self._search.mget(index=index, ids=ids, source_includes="_stamp.*")
            self._search.bulk(index=index, operations=operations)

        return feed

    def _feed_redis(self, view: View, puts: Sequence[Put]) -> Feed:
        names = [f"{view.name}:{put.key}" for put in puts]
        bodies = [{"_stamp": put.stamp.to_text(), **put.body} for put in puts]

        def feed() -> None:
            with self._redis.pipeline(transaction=False) as reads:
                for name in names:
                    reads.getrange(name, 0, 159)
                reads.execute()
            with self._redis.pipeline(transaction=False) as writes:
                for name, body in zip(names, bodies, strict=True):
                    writes.set(name, json.dumps(body, ensure_ascii=False), ex=3_600)
                writes.execute()

        return feed
