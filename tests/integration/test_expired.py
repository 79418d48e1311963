"""The cure that is named when what a group had not read has expired."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from ops.connector.topics import delete_topics, ensure_topics, wanted_topics
from processor.consumer import ChangeConsumer
from processor.errors import SourceError
from processor.settings import KafkaSettings, Settings
from tests.integration.path import unique


def test_new_topics_let_a_group_start_again_and_keep_the_dead_letters(settings: Settings) -> None:
    kafka = settings.kafka.model_copy(update={"topic_prefix": unique("expired"), "group_id": unique("g")})
    admin = AdminClient(kafka.client())
    topic, letters = f"{kafka.topic_prefix}.public.policies", f"dlq.{kafka.topic_prefix}.public.policies"
    try:
        ensure_topics(kafka)
        producer = Producer(kafka.client())
        for _ in range(3):
            producer.produce(topic, b"expired", partition=0)
        assert producer.flush(10) == 0
        for future in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
            future.result()
        with pytest.raises(SourceError) as caught:
            drain(kafka, topic)
        assert "--topics" in str(caught.value.hint)
        deleted = delete_topics(kafka)
        assert topic in deleted
        assert letters not in deleted
        ensure_topics(kafka)
        producer.produce(topic, b"new", partition=0)
        assert producer.flush(10) == 0
        assert drain(kafka, topic) == [b"new"]
    finally:
        for future in admin.delete_topics([each.name for each in wanted_topics(kafka)]).values():
            future.result()


def drain(kafka: KafkaSettings, topic: str) -> list[bytes | None]:
    consumer = ChangeConsumer(kafka, [topic])
    try:
        for _ in range(100):
            if batch := consumer.drain(10, 1 << 20):
                return [message.value for message in batch]
        return []
    finally:
        consumer.close()
