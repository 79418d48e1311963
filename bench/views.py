"""Views of the measurements' own, beside the real ones, and their removal."""

from __future__ import annotations

from dataclasses import replace

import neo4j
from elasticsearch import Elasticsearch
from pymilvus import MilvusClient
from redis import Redis

from processor.settings import Settings
from processor.stores.milvus import MilvusStore
from processor.tables import projection_of
from processor.tables.base import Projection, View


def own_views(suffix: str, *stores: str) -> Projection:
    """Policies, shown by views of other names in these stores."""
    policies = projection_of("policies")
    views = tuple(_renamed(view, suffix) for view in policies.views if view.store in stores)
    return replace(policies, views=views)


def _renamed(view: View, suffix: str) -> View:
    # invalidations belong to the view's readers, and a measured row has none
    return replace(view, name=f"{view.name}_{suffix}", invalidates=())


def drop(settings: Settings, projection: Projection) -> None:
    """Remove the views with all that they hold."""
    for view in projection.views:
        _DROP[view.store](settings, view)


def _drop_milvus(settings: Settings, view: View) -> None:
    store = MilvusStore(settings.milvus, settings.embedding.model_id, settings.embedding.vector_dim)
    client = MilvusClient(settings.milvus.uri)
    client.drop_alias(view.name)
    client.drop_collection(store.collection(view))
    client.close()


def _drop_neo4j(settings: Settings, view: View) -> None:
    auth = (settings.neo4j.user, settings.neo4j.password.get_secret_value())
    with neo4j.GraphDatabase.driver(settings.neo4j.uri, auth=auth) as driver:
        driver.execute_query(f"MATCH (n:`{view.name}`) DETACH DELETE n")
        constraints = driver.execute_query("SHOW CONSTRAINTS YIELD name, labelsOrTypes").records
        for name, labels in constraints:
            if labels == [view.name]:
                driver.execute_query(f"DROP CONSTRAINT `{name}`")


def _drop_elasticsearch(settings: Settings, view: View) -> None:
    with Elasticsearch(settings.search.url) as client:
        client.indices.delete(index=f"{settings.search.index_prefix}{view.name}", ignore_unavailable=True)


def _drop_redis(settings: Settings, view: View) -> None:
    with Redis.from_url(settings.redis.url) as client:
        for key in client.scan_iter(match=f"{settings.redis.key_prefix}{view.name}:*", count=1_000):
            client.unlink(key)


_DROP = {
    "milvus": _drop_milvus,
    "neo4j": _drop_neo4j,
    "elasticsearch": _drop_elasticsearch,
    "redis": _drop_redis,
}
