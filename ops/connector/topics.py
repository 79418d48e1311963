"""The topics of the captured tables: which there must be, and making them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from processor.build import refresh_topic
from processor.errors import ConfigurationError, SourceError
from processor.letters import HEADER_ROOM, letter_topic
from processor.settings import KafkaSettings
from sql.capture import CDC_TABLES, captured_tables, full_name

DAY_MS: Final = 86_400_000
FOR_EVER: Final = -1


@dataclass(frozen=True)
class Topic:
    """A topic as it must be."""

    name: str
    partitions: int
    retention_ms: int
    max_message_bytes: int

    def as_new(self, replication_factor: int) -> NewTopic:
        """As the broker takes it."""
        config = {"retention.ms": str(self.retention_ms), "max.message.bytes": str(self.max_message_bytes)}
        return NewTopic(self.name, self.partitions, replication_factor, config=config)


def wanted_topics(settings: KafkaSettings) -> list[Topic]:
    """All topics that the connector and the processor use."""
    prefix, size = settings.topic_prefix, settings.max_message_bytes
    topics = []
    for table in captured_tables():
        name = f"{prefix}.{full_name(table)}"
        topics += [
            Topic(name, settings.partitions, 7 * DAY_MS, size),
            Topic(refresh_topic(name), settings.partitions, 7 * DAY_MS, size),
            Topic(letter_topic(name), settings.partitions, FOR_EVER, size + HEADER_ROOM),
        ]
    singles = [
        *(f"{prefix}.{name}" for name in CDC_TABLES),
        f"{prefix}-signal",
        f"__debezium-heartbeat.{prefix}",
    ]
    return topics + [Topic(name, 1, DAY_MS, size) for name in singles]


def wrong_partitions(wanted: Sequence[Topic], found: Mapping[str, int]) -> list[str]:
    """A sentence for every topic that exists with another number of partitions."""
    return [
        f"{topic.name} has {found[topic.name]} partitions, wanted {topic.partitions}"
        for topic in wanted
        if topic.name in found and found[topic.name] != topic.partitions
    ]


def ensure_topics(settings: KafkaSettings) -> list[str]:
    """Create the topics that are missing; return their names.

    Raises:
        SourceError: the broker does not answer, or refuses.
        ConfigurationError: a topic exists with another number of partitions. It is not altered: keys
            would move to other partitions, and their order would be lost.
    """
    admin = AdminClient(settings.client())
    wanted = wanted_topics(settings)
    found = partition_counts(admin, settings.bootstrap_servers)
    if wrong := wrong_partitions(wanted, found):
        raise ConfigurationError(
            "; ".join(wrong),
            hint="set KAFKA_PARTITIONS to what exists, or delete the topics and snapshot anew",
        )
    missing = [topic.as_new(settings.replication_factor) for topic in wanted if topic.name not in found]
    for name, future in admin.create_topics(missing).items() if missing else ():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
                raise SourceError(f"topic {name} could not be created: {error.args[0].str()}") from error
    return [topic.topic for topic in missing]


def partition_counts(admin: AdminClient, servers: str) -> dict[str, int]:
    """Topic -> number of partitions.

    Raises:
        SourceError: the broker does not answer.
    """
    try:
        found = admin.list_topics(timeout=10).topics
    except KafkaException as error:
        raise SourceError(
            f"kafka at {servers} does not answer: {error.args[0].str()}",
            hint="aegis stack up kafka, or check KAFKA_BOOTSTRAP_SERVERS",
        ) from error
    return {name: len(topic.partitions) for name, topic in found.items()}
