"""What comes to a topic from now on, for whoever waits for one record; beside every group."""

from __future__ import annotations

import time
from typing import Final

from confluent_kafka import Consumer, TopicPartition

from processor.offsets import CALL_SECONDS, answering
from processor.settings import KafkaSettings

POLL_SECONDS: Final = 0.1


class Tail:
    """Begins where the topic ends when this is made.

    Raises:
        SourceError: the broker does not answer.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        """A topic that does not exist yet has nothing to wait for."""
        self._servers = settings.bootstrap_servers
        self._consumer = Consumer(
            {**settings.client(), "group.id": settings.group_id, "enable.auto.commit": False}
        )
        with answering(self._servers):
            found = self._consumer.list_topics(topic, timeout=CALL_SECONDS).topics[topic].partitions
            places = [TopicPartition(topic, number) for number in found]
            for place in places:
                _, place.offset = self._consumer.get_watermark_offsets(place, timeout=CALL_SECONDS)
            self._consumer.assign(places)

    def has(self, key: bytes, seconds: float) -> bool:
        """Whether a record of that key comes in time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with answering(self._servers):
                record = self._consumer.poll(POLL_SECONDS)
            if record is not None and record.error() is None and record.key() == key:
                return True
        return False

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()
