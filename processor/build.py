"""Puts the processor together from settings, and checks that what it stands on is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from processor.app import Parts
from processor.breaker import Breaker
from processor.consumer import ChangeConsumer
from processor.decode import Decoder
from processor.errors import ConfigurationError, SourceError
from processor.fanout import Fanout
from processor.letters import LetterBox, letter_topic
from processor.offsets import GroupOffsets
from processor.registry import SchemaRegistry
from processor.settings import Settings
from processor.stores.base import Store
from processor.stores.elasticsearch import ElasticsearchStore
from processor.tables import PROJECTIONS, by_topic


def refresh_topic(topic: str) -> str:
    """The topic of refresh commands of a table's topic."""
    return f"refresh.{topic}"


def make_stores(settings: Settings) -> list[Store]:
    """All stores; adding one adds a line here."""
    return [ElasticsearchStore(settings.search)]


def ensure_views(stores: Sequence[Store]) -> None:
    """Let every store create what the projections need.

    Raises:
        Unavailable, Misconfigured: with the command that helps.
    """
    by_name = {store.name: store for store in stores}
    for projection in PROJECTIONS:
        for view in projection.views:
            by_name[view.store].ensure(view)


def check_topics(settings: Settings) -> None:
    """A row's changes, refresh commands and letters must lie on partitions of the same number.

    Raises:
        SourceError: the broker does not answer.
        ConfigurationError: a topic is missing, or the three have unequal partitions.
    """
    admin = AdminClient(settings.kafka.client())
    try:
        found = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=10).topics.items()}
    except KafkaException as error:
        raise SourceError(
            f"kafka at {settings.kafka.bootstrap_servers} does not answer: {error.args[0].str()}",
            hint="aegis stack up kafka, or check KAFKA_BOOTSTRAP_SERVERS",
        ) from error
    for topic in by_topic(settings.kafka.topic_prefix):
        counts = {name: found.get(name, 0) for name in (topic, refresh_topic(topic), letter_topic(topic))}
        if 0 in counts.values() or len(set(counts.values())) != 1:
            shown = ", ".join(f"{name}: {count or 'missing'}" for name, count in counts.items())
            raise ConfigurationError(
                f"topics need equal numbers of partitions ({shown})", hint="aegis connector apply"
            )


def build(settings: Settings, hold: Callable[[float], None]) -> Parts:
    """Connect to everything; `hold` is how the parts wait.

    Raises:
        AegisError: something is not there or not right; nothing was consumed.
    """
    check_topics(settings)
    stores = make_stores(settings)
    ensure_views(stores)
    projections = by_topic(settings.kafka.topic_prefix)
    return Parts(
        consumer=ChangeConsumer(settings.kafka, list(projections)),
        group=GroupOffsets(settings.kafka, list(projections)),
        decoder=Decoder(SchemaRegistry(settings.registry), projections),
        fanout=Fanout(stores, hold),
        letters=LetterBox(settings.kafka),
        breaker=Breaker(settings.processor.dead_letter_ratio, settings.processor.dead_letter_run),
        projections=projections,
    )
