"""Looks at a consumer group's offsets from outside the group: lag, and whether it has caught up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.errors import ConfigurationError, SourceError
from processor.settings import KafkaSettings

CALL_SECONDS: Final = 10

Offsets = dict[tuple[str, int], int]
"""(topic, partition) -> offset."""


@contextmanager
def answering(servers: str) -> Iterator[None]:
    """Turn the client's error into a SourceError that says what to do."""
    try:
        yield
    except KafkaException as error:
        raise SourceError(
            f"kafka at {servers} does not answer: {error.args[0].str()}",
            hint="aegis stack up kafka, or check KAFKA_BOOTSTRAP_SERVERS",
        ) from error


def partition_counts(settings: KafkaSettings) -> dict[str, int]:
    """Topic -> number of its partitions, of all topics.

    Raises:
        SourceError: the broker does not answer.
    """
    with answering(settings.bootstrap_servers):
        found = AdminClient(settings.client()).list_topics(timeout=CALL_SECONDS).topics
    return {name: len(topic.partitions) for name, topic in found.items()}


def group_members(settings: KafkaSettings) -> int:
    """Processes that are in the consumer group now.

    Raises:
        SourceError: the broker does not answer.
    """
    with answering(settings.bootstrap_servers):
        admin = AdminClient(settings.client())  # held: a client that is gone answers no future
        (described,) = admin.describe_consumer_groups([settings.group_id]).values()
        return len(described.result(CALL_SECONDS).members)


class GroupOffsets:
    """Looks at a group's offsets from outside, over a connection of its own.

    A member's own connection would not do: the broker answers in order, and holds back its answer to a
    member that joins until the group is complete, up to the session time-out of one that died.

    Every look raises SourceError when the broker does not answer, ConfigurationError without a topic.
    """

    def __init__(self, settings: KafkaSettings, topics: Sequence[str]) -> None:
        self.servers = settings.bootstrap_servers
        self._topics = list(topics)
        self._consumer = Consumer(
            {
                **settings.client(),
                "group.id": settings.group_id,
                "enable.auto.commit": False,
            }
        )

    def ends(self) -> Offsets:
        """The present end of every partition of the topics."""
        with answering(self.servers):
            return {(p.topic, p.partition): self._marks(p)[1] for p in self._partitions()}

    def marks(self) -> dict[tuple[str, int], tuple[int, int]]:
        """The first offset that is kept and the present end, of every partition of the topics."""
        with answering(self.servers):
            return {(p.topic, p.partition): self._marks(p) for p in self._partitions()}

    def committed(self) -> Offsets:
        """The group's committed offset of every partition; 0 where there is none."""
        with answering(self.servers):
            found = self._consumer.committed(self._partitions(), timeout=CALL_SECONDS)
        return {(p.topic, p.partition): max(p.offset, 0) for p in found}

    def has_committed(self) -> bool:
        """Whether the group has committed any offset at all, be it 0."""
        with answering(self.servers):
            found = self._consumer.committed(self._partitions(), timeout=CALL_SECONDS)
        return any(p.offset >= 0 for p in found)

    def lag(self, ends: Offsets) -> int:
        """Records before `ends` that the group has not committed."""
        committed = self.committed()
        return sum(max(end - committed.get(place, 0), 0) for place, end in ends.items())

    def retained(self) -> int:
        """Records that the topics still hold, whoever has read them."""
        with answering(self.servers):
            return sum(high - low for low, high in map(self._marks, self._partitions()))

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _marks(self, partition: TopicPartition) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(partition, timeout=CALL_SECONDS)
        return low, high

    def _partitions(self) -> list[TopicPartition]:
        found = []
        for topic in self._topics:
            metadata = self._consumer.list_topics(topic, timeout=CALL_SECONDS).topics[topic]
            if not metadata.partitions:  # nothing to do there would be nothing to wait for
                raise ConfigurationError(f"no topic {topic}", hint="aegis connector apply")
            found += [TopicPartition(topic, number) for number in metadata.partitions]
        return found
