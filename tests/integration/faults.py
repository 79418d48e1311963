"""Does harm to records behind the processor's back, with each store's own client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import numpy as np
from elasticsearch import Elasticsearch
from neo4j import GraphDatabase
from redis import Redis

from processor.settings import Settings
from processor.stores.cypher import quote
from processor.stores.elasticsearch import ElasticsearchStore
from processor.stores.milvus import MilvusStore
from processor.stores.milvus_client import connect
from processor.stores.milvus_schema import KEY, VECTOR, columns_of, one_of
from processor.tables.base import View

STAMP = ("version", "seen", "xid", "fp")


class Vandal(Protocol):
    """Harms the records of one store. What it does not name stays as it was."""

    def remove(self, view: View, key: str) -> None:
        """The record is gone."""
        ...

    def copy(self, view: View, key: str, to: str) -> None:
        """A second record, of another key: one that came back, or one of a row that never was."""
        ...

    def stamp(self, view: View, key: str, **changed: Any) -> None:
        """Some of version, seen, xid and fp are others."""
        ...

    def field(self, view: View, key: str, name: str, value: Any) -> None:
        """A field is another, under the same stamp."""
        ...


class RedisVandal:
    """Of the cache. How long an entry lives stays as it was."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client, self._prefix = client, prefix

    def remove(self, view: View, key: str) -> None:
        """UNLINK."""
        assert self._client.unlink(self._name(view, key)) == 1

    def copy(self, view: View, key: str, to: str) -> None:
        """The same text under another name."""
        assert self._client.copy(self._name(view, key), self._name(view, to))

    def stamp(self, view: View, key: str, **changed: Any) -> None:
        """Within the text."""
        texts = {name: str(value) for name, value in changed.items()}
        self._change(view, key, lambda entry: entry["_stamp"].update(texts))

    def field(self, view: View, key: str, name: str, value: Any) -> None:
        """Within the text."""
        self._change(view, key, lambda entry: entry.update({name: value}))

    def _name(self, view: View, key: str) -> str:
        return f"{self._prefix}{view.name}:{key}"

    def _change(self, view: View, key: str, change: Callable[[dict[str, Any]], None]) -> None:
        entry = json.loads(self._client.get(self._name(view, key)))
        change(entry)
        text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
        assert self._client.set(self._name(view, key), text, keepttl=True)


class ElasticsearchVandal:
    """Of the index; what it did is visible to searches when a call returns."""

    def __init__(self, client: Elasticsearch, index: Callable[[View], str]) -> None:
        self._client, self._index = client, index

    def remove(self, view: View, key: str) -> None:
        """DELETE."""
        self._client.delete(index=self._index(view), id=key, refresh=True)

    def copy(self, view: View, key: str, to: str) -> None:
        """The same document under another id, which the stamp names as well."""
        document = self._get(view, key)
        document["_stamp"]["key"] = to
        self._put(view, to, document)

    def stamp(self, view: View, key: str, **changed: Any) -> None:
        """Within the document."""
        document = self._get(view, key)
        document["_stamp"] |= {name: str(value) for name, value in changed.items()}
        self._put(view, key, document)

    def field(self, view: View, key: str, name: str, value: Any) -> None:
        """Within the document."""
        self._put(view, key, {**self._get(view, key), name: value})

    def _get(self, view: View, key: str) -> dict[str, Any]:
        document: dict[str, Any] = self._client.get(index=self._index(view), id=key)["_source"]
        return document

    def _put(self, view: View, key: str, document: dict[str, Any]) -> None:
        self._client.index(index=self._index(view), id=key, document=document, refresh=True)


class Neo4jVandal:
    """Of the graph."""

    def __init__(self, driver: Any, database: str) -> None:
        self._driver, self._database = driver, database

    def remove(self, view: View, key: str) -> None:
        """With its relations."""
        self._run(view, key, "DETACH DELETE n")

    def copy(self, view: View, key: str, to: str) -> None:
        """Without relations."""
        self._run(view, key, f"CREATE (m:{quote(view.name)}) SET m = n {{.*, _key: $to}}", to=to)

    def stamp(self, view: View, key: str, **changed: Any) -> None:
        """Its properties."""
        self._run(view, key, "SET n += $new", new={f"_{name}": value for name, value in changed.items()})

    def field(self, view: View, key: str, name: str, value: Any) -> None:
        """A property."""
        self._run(view, key, "SET n += $new", new={name: value})

    def edge(self, view: View, key: str) -> None:
        """One relation less."""
        self._run(view, key, "MATCH (n)-[r]->() WITH n, r LIMIT 1 DELETE r")

    def _run(self, view: View, key: str, change: str, **parameters: Any) -> None:
        statement = f"MATCH (n:{quote(view.name)} {{_key: $key}}) WITH n {change}"
        done = self._driver.execute_query(statement, key=key, **parameters, database_=self._database)
        assert done.summary.counters.contains_updates


class MilvusVandal:
    """Of the vectors. An upsert names every column."""

    def __init__(self, client: Any, store: MilvusStore) -> None:
        self._client, self._store = client, store

    def remove(self, view: View, key: str) -> None:
        """DELETE."""
        self._client.delete(self._store.collection(view), filter=one_of([key]))

    def copy(self, view: View, key: str, to: str) -> None:
        """The same entity under another key."""
        self._upsert(view, {**self._get(view, key), KEY: to})

    def stamp(self, view: View, key: str, **changed: Any) -> None:
        """Its columns."""
        self._upsert(view, self._get(view, key) | {f"_{name}": value for name, value in changed.items()})

    def field(self, view: View, key: str, name: str, value: Any) -> None:
        """A column."""
        self._upsert(view, self._get(view, key) | {name: value})

    def vector(self, view: View, key: str) -> None:
        """Another vector of unit length, beside the old one's checksum."""
        entity = self._get(view, key)
        entity[VECTOR] = -np.array(entity[VECTOR], dtype=np.float32)
        self._upsert(view, entity)

    def _get(self, view: View, key: str) -> dict[str, Any]:
        (entity,) = self._client.query(
            self._store.collection(view),
            filter=one_of([key]),
            output_fields=list(columns_of(view, self._store.dim)),
            consistency_level="Strong",
        )
        return dict(entity)

    def _upsert(self, view: View, entity: dict[str, Any]) -> None:
        self._client.upsert(self._store.collection(view), [entity])


@contextmanager
def vandals(settings: Settings) -> Iterator[dict[str, Any]]:
    """By store, who harms it."""
    with ExitStack() as stack:
        redis = stack.enter_context(Redis.from_url(settings.redis.url, decode_responses=True))
        search = stack.enter_context(Elasticsearch(settings.search.url))
        password = settings.neo4j.password.get_secret_value()
        driver = GraphDatabase.driver(settings.neo4j.uri, auth=(settings.neo4j.user, password))
        stack.enter_context(driver)
        client = connect(settings.milvus)
        stack.callback(client.close)
        store = MilvusStore(settings.milvus, settings.embedding.model_id, settings.embedding.vector_dim)
        yield {
            "redis": RedisVandal(redis, settings.redis.key_prefix),
            "elasticsearch": ElasticsearchVandal(search, ElasticsearchStore(settings.search).index),
            "neo4j": Neo4jVandal(driver, settings.neo4j.database),
            "milvus": MilvusVandal(client, store),
        }
