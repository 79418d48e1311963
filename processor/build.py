"""Puts the processor together from settings, and checks that what it stands on is there."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from threading import Event

from processor import metrics
from processor.app import Parts
from processor.breaker import Breaker
from processor.consumer import ChangeConsumer
from processor.decode import Decoder
from processor.delivery import Delivery
from processor.embed import Embedder
from processor.embedding.load import load_encoder
from processor.errors import ConfigurationError, Unavailable
from processor.fanout import PATIENCE_SECONDS, Fanout
from processor.lease import Lease
from processor.letters import LetterBox, letter_topic
from processor.offsets import GroupOffsets, partition_counts
from processor.refresh import refresh_topic
from processor.refresher import Refresher
from processor.registry import SchemaRegistry
from processor.routes import Route, make_routes
from processor.saga import Saga
from processor.settings import Settings
from processor.source import RowReader
from processor.stores.base import Store
from processor.stores.elasticsearch import ElasticsearchStore
from processor.stores.milvus import MilvusStore
from processor.stores.neo4j import Neo4jStore
from processor.stores.redis import RedisStore
from processor.sweeper import Sweeper
from processor.tables import PROJECTIONS, by_topic
from processor.tables.base import Projection
from processor.waiting import GroupWaiting, patiently

log = logging.getLogger(__name__)


def make_stores(settings: Settings, lease: Lease | None = None) -> list[Store]:
    """All stores; adding one adds a line here. Nothing is connected yet.

    `lease` guards stores without conditional writes; those who only read need none.
    """
    return [
        MilvusStore(settings.milvus, settings.embedding.model_id, settings.embedding.vector_dim, lease),
        ElasticsearchStore(settings.search),
        Neo4jStore(settings.neo4j),
        RedisStore(settings.redis),
    ]


def ensure_views(stores: Sequence[Store], projections: Iterable[Projection] = PROJECTIONS) -> None:
    """Let every store create what the projections need.

    Raises:
        Unavailable, Misconfigured: with the command that helps.
    """
    by_name = {store.name: store for store in stores}
    for projection in projections:
        for view in projection.views:
            by_name[view.store].ensure(view)


def _ensure(stores: Sequence[Store], projections: Iterable[Projection], work: metrics.Work) -> None:
    try:
        ensure_views(stores, projections)
    except Unavailable as error:
        work.waits(error.store, error)
        raise
    for store in stores:
        work.done(store.name)


def make_embedder(settings: Settings, projections: Iterable[Projection] = PROJECTIONS) -> Embedder | None:
    """The configured encoder, loaded, when any view embeds a text.

    Raises:
        ConfigurationError: the engine or its weights are missing or not as configured.
    """
    if any(view.text for projection in projections for view in projection.views):
        return Embedder(load_encoder(settings.embedding))
    return None


def check_topics(settings: Settings, topics: Iterable[str]) -> dict[str, int]:
    """A row's changes, commands and letters must lie on partitions of the same number: which, by topic.

    Raises:
        SourceError: the broker does not answer.
        ConfigurationError: a topic is missing, or the three have unequal partitions.
    """
    found = partition_counts(settings.kafka)
    for topic in topics:
        counts = {name: found.get(name, 0) for name in (topic, refresh_topic(topic), letter_topic(topic))}
        if 0 in counts.values() or len(set(counts.values())) != 1:
            shown = ", ".join(f"{name}: {count or 'missing'}" for name, count in counts.items())
            raise ConfigurationError(
                f"topics need equal numbers of partitions ({shown})", hint="aegis connector apply"
            )
    return found


def check_lease(settings: Settings) -> None:
    """A write to Milvus must be able to end within the consumer's session, and the poll before it be late.

    Raises:
        ConfigurationError: then no write would ever begin.
    """
    session, call = settings.kafka.session_timeout_ms / 1000, settings.milvus.timeout_seconds
    if call + 2 * PATIENCE_SECONDS > session:
        raise ConfigurationError(
            f"MILVUS_TIMEOUT_SECONDS={call:g} is too long for KAFKA_SESSION_TIMEOUT_MS={session * 1000:g}",
            hint=f"set MILVUS_TIMEOUT_SECONDS to at most {session - 2 * PATIENCE_SECONDS:g}",
        )


def warn_of_empty_views(stores: Sequence[Store], group: GroupOffsets, routes: Iterable[Route]) -> None:
    """A store that joins later, or has lost everything, gets changes only: say what fills it."""
    read = {topic for (topic, _), offset in group.committed().items() if offset}
    by_name = {store.name: store for store in stores}
    for route in routes:
        for view in route.projection.views:
            if route.topic in read and not view.optional and not by_name[view.store].count(view):
                log.warning(
                    "%s shows no %s, of which changes were read before. To fill it: aegis refresh %s "
                    "--where true --stores %s",
                    view.store,
                    route.projection.name,
                    route.projection.name,
                    view.store,
                )


def build(settings: Settings, stop: Event, tables: Sequence[Projection] = PROJECTIONS) -> Parts:
    """Connect to everything; `stop` ends all waiting, but that for a store which is away at the start.

    Raises:
        AegisError: something is not there or not right; nothing was consumed.
    """
    projections = by_topic(settings.kafka.topic_prefix, tables)
    check_lease(settings)
    routes = make_routes(projections, check_topics(settings, projections))
    lease = Lease(settings.kafka.session_timeout_ms / 1000)
    stores = make_stores(settings, lease)
    embedder = make_embedder(settings, tables)
    with metrics.Work(store.name for store in stores) as work:
        patiently(lambda: _ensure(stores, tables, work), Unavailable, stop.wait)
    consumer = ChangeConsumer(settings.kafka, list(routes), lease)
    waiting = GroupWaiting(consumer, stop)
    group = GroupOffsets(settings.kafka, list(routes))
    schemas = SchemaRegistry(settings.registry)
    warn_of_empty_views(stores, group, {route.topic: route for route in routes.values()}.values())
    fanout = Fanout(stores, waiting, embedder, lease)
    reader = RowReader(settings.postgres)
    delivery = Delivery(settings.kafka)
    return Parts(
        consumer=consumer,
        waiting=waiting,
        group=group,
        schemas=schemas,
        decoder=Decoder(schemas, projections),
        fanout=fanout,
        reader=reader,
        saga=Saga(fanout, settings.processor.epoch),
        refresher=Refresher(fanout, reader, settings.processor.epoch),
        sweeper=Sweeper(fanout, group.ends, consumer.done_until),
        delivery=delivery,
        letters=LetterBox(delivery, settings.kafka.group_id),
        breaker=Breaker(settings.processor.dead_letter_ratio, settings.processor.dead_letter_run),
        routes=routes,
    )
