"""How far a snapshot is, told by what has come into Kafka."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from ops.connector.topics import row_topics
from processor.settings import KafkaSettings

LATEST: Final[OffsetSpec] = OffsetSpec.latest()  # type: ignore[no-untyped-call]
ANSWER_SECONDS: Final = 2.0
"""How long a broker may take to say where its topics end: the next look is a second away."""


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

    def since_start(self) -> int | None:
        """Records since then, or None when the broker does not say: no reason to stop waiting."""
        now = self._sum()
        return None if now is None or self._before is None else max(0, now - self._before)

    def _sum(self) -> int | None:
        ends = self._admin.list_offsets(
            dict.fromkeys(self._partitions, LATEST), request_timeout=ANSWER_SECONDS
        )
        try:
            return sum(int(future.result(timeout=2 * ANSWER_SECONDS).offset) for future in ends.values())
        except (KafkaException, TimeoutError):
            return None
