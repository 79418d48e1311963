"""The dead-letter topics in Kafka: what is in them, and how far a replay has come.

Replays have a consumer group of their own, so its lag is the number of open letters. Nobody ever joins it:
partitions are read by assignment, positions committed from outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from processor.change import Message
from processor.consumer import message_of
from processor.dead_letters import DeadLetter, distinct, read_letter
from processor.errors import ConfigurationError, SourceError
from processor.letters import letter_topic
from processor.offsets import GroupOffsets, answering, partition_counts
from processor.settings import KafkaSettings
from processor.tables.base import Projection

READ_SECONDS: Final = 10
"""Without a record or a partition's end, the broker counts as away."""


@dataclass(frozen=True, slots=True)
class Span:
    """One partition at one moment; what lies before `start` was replayed."""

    topic: str
    partition: int
    low: int
    start: int
    end: int

    @property
    def open(self) -> int:
        """Letters from `start` to the end, or a few less."""
        return self.end - self.start


def replay_settings(settings: KafkaSettings) -> KafkaSettings:
    """The broker, with the group of replays."""
    return settings.model_copy(update={"group_id": f"{settings.group_id}-replay"})


class LetterTopics:
    """Letters of some tables. Every call raises SourceError when the broker does not answer."""

    def __init__(self, settings: KafkaSettings, projections: Mapping[str, Projection]) -> None:
        """`projections` by topic of changes.

        Raises:
            ConfigurationError: a topic is missing.
        """
        settings = replay_settings(settings)
        self.projections = {letter_topic(topic): projection for topic, projection in projections.items()}
        if missing := self.projections.keys() - partition_counts(settings).keys():
            raise ConfigurationError(f"no topic {', '.join(sorted(missing))}", hint="aegis connector apply")
        self._servers = settings.bootstrap_servers
        self._group = GroupOffsets(settings, list(self.projections))
        self._consumer = Consumer(
            {
                **settings.client(),
                "group.id": settings.group_id,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",  # letters may expire while we read: go on with what is left
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,  # a partition at its end holds up the next one so long
            }
        )

    def spans(self) -> list[Span]:
        """All partitions now."""
        marks, committed = self._group.marks(), self._group.committed()
        return [
            Span(*place, low, committed[place] if low <= committed[place] <= end else low, end)
            for place, (low, end) in marks.items()
        ]

    def open_letters(self, span: Span) -> Iterator[DeadLetter]:
        """Those that were not replayed, in order."""
        return self.letters(span.topic, span.partition, span.start, span.end)

    def replayed_letters(self, span: Span) -> Iterator[DeadLetter]:
        """Those before, as far as they are kept."""
        return self.letters(span.topic, span.partition, span.low, span.start)

    def read(self, topic: str, partition: int, begin: int, end: int) -> Iterator[Message]:
        """The records of a part of a partition; one reading at a time."""
        position = begin
        if position < end:
            self._consumer.assign([TopicPartition(topic, partition, begin)])
        while position < end:
            record = self._consumer.poll(READ_SECONDS)
            if record is None:
                raise self._silent(f"nothing came in {READ_SECONDS} s")
            error = record.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return  # the last records have expired
            if error is not None:
                raise self._silent(error.str())
            message = message_of(record)
            position = message.offset + 1
            if message.offset < end:
                yield message

    def one(self, topic: str, partition: int, offset: int) -> Message | None:
        """The record there, if it is kept."""
        low, end = self._group.marks().get((topic, partition), (0, 0))
        return next(self.read(topic, partition, offset, offset + 1), None) if low <= offset < end else None

    def commit(self, span: Span, offset: int) -> None:
        """All letters of a partition before `offset` are replayed."""
        with answering(self._servers):
            self._consumer.commit(
                offsets=[TopicPartition(span.topic, span.partition, offset)], asynchronous=False
            )

    def close(self) -> None:
        """Close the connections."""
        self._group.close()
        self._consumer.close()

    def _silent(self, reason: str) -> SourceError:
        hint = "aegis stack up kafka, or check KAFKA_BOOTSTRAP_SERVERS; then the same command again"
        return SourceError(f"kafka at {self._servers}: {reason}", hint=hint)

    def letters(self, topic: str, partition: int, begin: int, end: int) -> Iterator[DeadLetter]:
        """Those of a part of a partition, each once."""
        projection = self.projections[topic]
        return distinct(
            read_letter(projection, message) for message in self.read(topic, partition, begin, end)
        )
