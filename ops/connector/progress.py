"""How far a snapshot is, told by what has come into Kafka."""

from __future__ import annotations

import contextlib
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from ops.connector.topics import row_topics
from processor.settings import KafkaSettings

LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class RecordCount:
    """How many records came into the captured tables' topics since this was made; for telling progress."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._admin = AdminClient(settings.client())
        self._partitions = [
            TopicPartition(topic, number)
            for topic in row_topics(settings.topic_prefix)
            for number in range(settings.partitions)
        ]
        self._before = self._sum()

    def since_start(self) -> int:
        """Records since then."""
        return max(0, self._sum() - self._before)

    def _sum(self) -> int:
        ends = self._admin.list_offsets(dict.fromkeys(self._partitions, LATEST))
        with contextlib.suppress(KafkaException):  # a broker that pauses is no reason to stop waiting
            return sum(future.result(timeout=5).offset for future in ends.values())
        return 0
