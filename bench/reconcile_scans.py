"""Scans of the real stores beside the cheapest loop over the same keys with the bare client.

The scan brings the stamps and proves the order; the loop brings keys only.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

import neo4j
import numpy as np
from elasticsearch import Elasticsearch
from pymilvus import MilvusClient
from redis import Redis

from bench.catch_up import STORES, policy
from bench.measured import Measured
from bench.views import drop, own_views
from processor.build import make_stores
from processor.output import err
from processor.settings import Settings
from processor.stamp import Stamp
from processor.stores.base import Applied, Put, Store
from processor.stores.elasticsearch import PAGE as SEARCH_PAGE
from processor.stores.milvus import PAGE as MILVUS_PAGE
from processor.stores.milvus import MilvusStore
from processor.stores.milvus_schema import KEY
from processor.stores.neo4j import PAGE as NEO4J_PAGE
from processor.stores.redis import PAGE as REDIS_PAGE
from processor.tables.base import Projection, View
from processor.vector import Vector, hash_text

BATCH: Final = 500


def scans(settings: Settings, records: int, rounds: int) -> list[tuple[Measured, Measured]]:
    """(the store's scan, the bare loop), store by store."""
    run = f"scan_{uuid.uuid4().hex[:8]}"
    projection = own_views(run, *STORES)
    stores = {store.name: store for store in make_stores(settings)}
    try:
        return [
            _compare(settings, stores[view.store], projection, view, records, rounds)
            for view in projection.views
        ]
    finally:
        for store in stores.values():
            store.close()
        drop(settings, projection)


def _compare(
    settings: Settings, store: Store, projection: Projection, view: View, records: int, rounds: int
) -> tuple[Measured, Measured]:
    err.print(f"{store.name}: writing {records:,} records", highlight=False)
    _put(settings, store, projection, view, records)
    ours, theirs = Measured("Store.scan", records), Measured(f"{store.name}: bare client", records)
    for _ in range(rounds):
        ours.measure(lambda: sum(1 for _ in store.scan(view)))
        theirs.measure(lambda: sum(1 for _ in _BARE[view.store](settings, view)))
    return ours, theirs


def _put(settings: Settings, store: Store, projection: Projection, view: View, records: int) -> None:
    store.ensure(view)
    values = np.random.default_rng(0).normal(size=settings.embedding.vector_dim).astype(np.float32)
    vector = Vector(values / np.linalg.norm(values), settings.embedding.model_id, hash_text(view.name))
    for start in range(0, records, BATCH):
        puts = [
            _policy(projection, view, number, vector) for number in range(start, min(start + BATCH, records))
        ]
        assert store.apply(view, puts) == [Applied()] * len(puts)
    store.settle(view)


def _policy(projection: Projection, view: View, number: int, vector: Vector) -> Put:
    row = {**dict.fromkeys(projection.kinds), **policy("bench", number)}
    stamp = Stamp(1 << 40, 1 << 40, 1 << 20, projection.fingerprint(view, row))
    return Put(row["policy_id"], None, stamp, projection.body(view, row), vector if view.text else None)


def _milvus(settings: Settings, view: View) -> Iterator[Any]:
    store = MilvusStore(settings.milvus, settings.embedding.model_id, settings.embedding.vector_dim)
    client = MilvusClient(settings.milvus.uri)
    pages = client.query_iterator(store.collection(view), batch_size=MILVUS_PAGE, output_fields=[KEY])
    while page := pages.next():
        yield from page
    pages.close()
    client.close()


def _neo4j(settings: Settings, view: View) -> Iterator[Any]:
    auth = (settings.neo4j.user, settings.neo4j.password.get_secret_value())
    query = f"MATCH (n:`{view.name}`) WHERE n._key > $after RETURN n._key ORDER BY n._key LIMIT {NEO4J_PAGE}"
    last = ""
    with neo4j.GraphDatabase.driver(settings.neo4j.uri, auth=auth) as driver:
        while page := driver.execute_query(query, after=last).records:
            yield from page
            last = page[-1][0]


def _elasticsearch(settings: Settings, view: View) -> Iterator[Any]:
    with Elasticsearch(settings.search.url) as client:
        index = f"{settings.search.index_prefix}{view.name}"
        pit, last = client.open_point_in_time(index=index, keep_alive="1m")["id"], None
        while page := client.search(
            pit={"id": pit},
            sort=[{"_stamp.key": "asc"}],
            search_after=last,
            size=SEARCH_PAGE,
            source=False,
            track_total_hits=False,
        )["hits"]["hits"]:
            yield from page
            last = page[-1]["sort"]
        client.close_point_in_time(id=pit)


def _redis(settings: Settings, view: View) -> Iterator[Any]:
    with Redis.from_url(settings.redis.url) as client:
        yield from client.scan_iter(match=f"{settings.redis.key_prefix}{view.name}:*", count=REDIS_PAGE)


_BARE: Final[dict[str, Callable[[Settings, View], Iterator[Any]]]] = {
    "milvus": _milvus,
    "neo4j": _neo4j,
    "elasticsearch": _elasticsearch,
    "redis": _redis,
}
