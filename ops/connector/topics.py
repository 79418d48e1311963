"""The topics of the captured tables: which there must be, and making them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

from processor.delivery import HEADER_ROOM
from processor.errors import ConfigurationError, SourceError
from processor.letters import letter_topic
from processor.offsets import partition_counts
from processor.refresh import refresh_topic
from processor.settings import KafkaSettings
from sql.capture import CDC_TABLES, captured_tables, full_name

DAY_MS: Final = 86_400_000
FOR_EVER: Final = -1
_SIZE: Final = "max.message.bytes"
_TOPIC: Final = ConfigResource.Type.TOPIC


@dataclass(frozen=True)
class Topic:
    """A topic as it must be."""

    name: str
    partitions: int
    retention_ms: int
    max_message_bytes: int

    def as_new(self, replication_factor: int) -> NewTopic:
        """As the broker takes it."""
        config = {"retention.ms": str(self.retention_ms), _SIZE: str(self.max_message_bytes)}
        return NewTopic(self.name, self.partitions, replication_factor, config=config)

    def size(self) -> ConfigEntry:
        """Its record size, as a change."""
        return ConfigEntry(_SIZE, str(self.max_message_bytes), incremental_operation=AlterConfigOpType.SET)


def row_topics(prefix: str) -> list[str]:
    """The topics that hold the rows of the captured tables."""
    return [f"{prefix}.{full_name(table)}" for table in captured_tables()]


def written_topics(settings: KafkaSettings) -> list[str]:
    """All topics that the connector itself writes."""
    prefix = settings.topic_prefix
    own = [*(f"{prefix}.{name}" for name in CDC_TABLES), f"__debezium-heartbeat.{prefix}"]
    return [*row_topics(prefix), *own]


def wanted_topics(settings: KafkaSettings) -> list[Topic]:
    """All topics that the connector and the processor use."""
    rows, size = row_topics(settings.topic_prefix), settings.max_message_bytes
    topics = []
    for name in rows:
        topics += [
            Topic(name, settings.partitions, 7 * DAY_MS, size),
            Topic(refresh_topic(name), settings.partitions, 7 * DAY_MS, size),
            Topic(letter_topic(name), settings.partitions, FOR_EVER, size + HEADER_ROOM),
        ]
    singles = [name for name in written_topics(settings) if name not in rows]
    singles.append(f"{settings.topic_prefix}-signal")
    return topics + [Topic(name, 1, DAY_MS, size) for name in singles]


def wrong_partitions(wanted: Sequence[Topic], found: Mapping[str, int]) -> list[str]:
    """A sentence for every topic that exists with another number of partitions."""
    return [
        f"{topic.name} has {found[topic.name]} partitions, wanted {topic.partitions}"
        for topic in wanted
        if topic.name in found and found[topic.name] != topic.partitions
    ]


def too_small(wanted: Sequence[Topic], sizes: Mapping[str, int]) -> list[Topic]:
    """Topics that exist and refuse a record that they must take."""
    return [
        topic for topic in wanted if sizes.get(topic.name, topic.max_message_bytes) < topic.max_message_bytes
    ]


@dataclass(frozen=True)
class Ensured:
    """Names of the topics that were made, and of those that take larger records now."""

    created: list[str]
    raised: list[str]

    def __str__(self) -> str:
        done = [
            f"{len(names)} {what}"
            for names, what in ((self.created, "created"), (self.raised, "take larger records now"))
            if names
        ]
        return ", ".join(done) or "all there"


def ensure_topics(settings: KafkaSettings) -> Ensured:
    """Create the topics that are missing, and raise the record size of those that exist.

    A record size is never lowered, and how long records are kept is left as it was found: both may have
    been set by an operator.

    Raises:
        SourceError: the broker does not answer, or refuses.
        ConfigurationError: a topic exists with another number of partitions. It is not altered: keys
            would move to other partitions, and their order would be lost.
    """
    admin = AdminClient(settings.client())
    wanted = wanted_topics(settings)
    found = partition_counts(settings)
    if wrong := wrong_partitions(wanted, found):
        raise ConfigurationError(
            "; ".join(wrong),
            hint="set KAFKA_PARTITIONS to what exists, or delete the topics and snapshot anew",
        )
    created = _create(admin, [topic for topic in wanted if topic.name not in found], settings)
    return Ensured(created, raise_sizes(admin, [topic for topic in wanted if topic.name in found]))


def _create(admin: AdminClient, topics: Sequence[Topic], settings: KafkaSettings) -> list[str]:
    new = [topic.as_new(settings.replication_factor) for topic in topics]
    for name, future in admin.create_topics(new).items() if new else ():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
                raise SourceError(f"topic {name} could not be created: {error.args[0].str()}") from error
    return [topic.name for topic in topics]


def raise_sizes(admin: AdminClient, topics: Sequence[Topic]) -> list[str]:
    """Let existing topics take records as large as they must; return the names of those altered.

    Raises:
        SourceError: the broker does not answer, or refuses.
    """
    if not topics:
        return []
    try:
        found = admin.describe_configs([ConfigResource(_TOPIC, topic.name) for topic in topics])
        sizes = {key.name: int(future.result()[_SIZE].value) for key, future in found.items()}
        small = too_small(topics, sizes)
        changes = [ConfigResource(_TOPIC, topic.name, incremental_configs=[topic.size()]) for topic in small]
        for future in admin.incremental_alter_configs(changes).values() if changes else ():
            future.result()
    except KafkaException as error:
        raise SourceError(f"the topics' {_SIZE} could not be raised: {error.args[0].str()}") from error
    return [topic.name for topic in small]


def delete_topics(settings: KafkaSettings) -> list[str]:
    """Delete the tables' topics of changes and refresh commands, and with them every group's place in them.

    Dead letters stay: they are nobody's copy.

    Raises:
        SourceError: the broker does not answer, or refuses.
    """
    admin = AdminClient(settings.client())
    wanted = {topic.name for topic in wanted_topics(settings) if not topic.name.startswith(letter_topic(""))}
    found = wanted & set(partition_counts(settings))
    for name, future in admin.delete_topics(sorted(found)).items() if found else ():
        try:
            future.result()
        except KafkaException as error:
            raise SourceError(f"topic {name} could not be deleted: {error.args[0].str()}") from error
    return sorted(found)
