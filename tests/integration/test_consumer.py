"""Where a group starts, what it refuses to guess, and how it waits; on topics of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from processor.change import Message
from processor.consumer import AssignmentLost, ChangeConsumer
from processor.errors import SourceError, Unavailable
from processor.lease import Lease
from processor.offsets import GroupOffsets
from processor.settings import KafkaSettings, Settings

PARTITIONS = 3


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})


@pytest.fixture
def topic(admin: AdminClient) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex}"
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result()
    yield name
    admin.delete_topics([name])[name].result()


@pytest.fixture
def kafka(settings: Settings) -> KafkaSettings:
    """A group of its own."""
    return settings.kafka.model_copy(
        update={"group_id": f"test-{uuid.uuid4().hex}", "session_timeout_ms": 6_000}
    )


def produce(kafka: KafkaSettings, topic: str, values: list[str]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for n, value in enumerate(values):
        producer.produce(topic, key=b"k", value=value.encode(), partition=n % PARTITIONS)
    assert producer.flush(10) == 0


def drain_all(consumer: ChangeConsumer, count: int) -> list[Message]:
    found: list[Message] = []
    for _ in range(300):
        found += consumer.drain(1_000, 1 << 30)
        if len(found) >= count:
            break
    return found


def values_of(messages: list[Message]) -> list[str]:
    return [(message.value or b"").decode() for message in messages]


def values(messages: list[Message]) -> set[str]:
    return set(values_of(messages))


def test_after_a_pause_it_goes_on_where_it_stood_whatever_the_client_believes(
    kafka: KafkaSettings, topic: str
) -> None:
    produce(kafka, topic, [str(n) for n in range(90)])
    consumer = ChangeConsumer(kafka, [topic])
    found = drain_all(consumer, 1)

    def led_astray() -> bool:
        """As by a position of an earlier assignment: paused partitions go on there."""
        for number in range(PARTITIONS):
            consumer._consumer.seek(TopicPartition(topic, number, 28))
        return True

    consumer.hold(1, enough=led_astray)
    found += drain_all(consumer, 90 - len(found))
    assert Counter(values_of(found)) == Counter(str(n) for n in range(90))
    consumer.close()


def test_a_new_group_starts_at_the_beginning_and_goes_on_after_what_it_stored(
    kafka: KafkaSettings, topic: str
) -> None:
    produce(kafka, topic, ["a", "b", "c"])
    first = ChangeConsumer(kafka, [topic])
    batch = drain_all(first, 3)
    assert values(batch) == {"a", "b", "c"}
    first.done(batch[:2])
    first.close()
    produce(kafka, topic, ["d", "e", "f"])
    second = ChangeConsumer(kafka, [topic])
    assert values(drain_all(second, 4)) == {"d", "e", "f", (batch[2].value or b"").decode()}
    second.close()


def test_what_was_not_stored_comes_again(kafka: KafkaSettings, topic: str) -> None:
    produce(kafka, topic, ["a", "b", "c"])
    for _ in range(2):
        consumer = ChangeConsumer(kafka, [topic])
        assert values(drain_all(consumer, 3)) == {"a", "b", "c"}
        consumer.close()


def test_a_batch_is_bounded_by_records_and_by_bytes(kafka: KafkaSettings, topic: str) -> None:
    produce(kafka, topic, ["x" * 10_000] * 600)
    consumer = ChangeConsumer(kafka, [topic])
    sizes = []
    for _ in range(200):
        sizes.append(len(consumer.drain(50, 1 << 30)))
        if sum(sizes) >= 200:
            break
    assert max(sizes) <= 50
    batch = consumer.drain(1_000, 100_000)
    assert 0 < sum(message.size for message in batch) <= 100_000 + 100 * 10_001
    consumer.close()


def test_what_arrives_in_the_midst_of_a_batch_is_kept_for_the_next_one(
    kafka: KafkaSettings, topic: str
) -> None:
    consumer = ChangeConsumer(kafka, [topic])
    consumer.drain(1, 1)
    produce(kafka, topic, [f"{n}" for n in range(30)])
    first = drain_all(consumer, 1)
    for _ in range(5):
        consumer.beat(1 << 30)
    consumer.beat(1)  # enough is kept: with its partitions paused
    assert values(first + drain_all(consumer, 30 - len(first))) == {f"{n}" for n in range(30)}
    consumer.done(first)
    consumer.close()


def test_a_group_whose_beginning_is_gone_stops_and_names_the_command(
    kafka: KafkaSettings, topic: str, admin: AdminClient
) -> None:
    produce(kafka, topic, ["a", "b", "c"])
    for future in admin.delete_records([TopicPartition(topic, 0, 1)]).values():
        future.result()
    consumer = ChangeConsumer(kafka, [topic])
    with pytest.raises(SourceError, match="what stood before is gone") as caught:
        drain_all(consumer, 3)
    assert "aegis connector apply" in str(caught.value.hint)
    consumer.close()


def test_an_expired_place_stops_the_group_and_names_the_command(
    kafka: KafkaSettings, topic: str, admin: AdminClient
) -> None:
    produce(kafka, topic, ["a", "b", "c"])
    first = ChangeConsumer(kafka, [topic])
    first.done(drain_all(first, 3))
    first.close()
    produce(kafka, topic, ["d", "e", "f"] * 2)
    for future in admin.delete_records([TopicPartition(topic, 0, 3)]).values():
        future.result()
    second = ChangeConsumer(kafka, [topic])
    with pytest.raises(SourceError, match="expired") as caught:
        drain_all(second, 1_000)
    assert "aegis connector apply" in str(caught.value.hint)
    second.close()


def test_holding_keeps_the_place_in_the_group_and_loses_no_record(kafka: KafkaSettings, topic: str) -> None:
    produce(kafka, topic, ["a", "b", "c"])
    consumer = ChangeConsumer(kafka, [topic])
    assert values(drain_all(consumer, 3)) == {"a", "b", "c"}
    generation = consumer.generation
    produce(kafka, topic, ["d", "e", "f"])
    consumer.hold(7)  # longer than the session time-out
    assert consumer.generation == generation
    assert values(drain_all(consumer, 3)) == {"d", "e", "f"}
    consumer.close()


def test_a_batch_whose_partitions_go_to_another_is_abandoned_and_read_by_the_other(
    kafka: KafkaSettings, topic: str
) -> None:
    produce(kafka, topic, ["a", "b", "c"])
    lease = Lease(kafka.session_timeout_ms / 1000)
    first = ChangeConsumer(kafka, [topic], lease)
    batch = drain_all(first, 3)
    lease.check("milvus", call_seconds=1)
    second = ChangeConsumer(kafka, [topic])
    seen: list[Message] = []
    with pytest.raises(AssignmentLost):
        for _ in range(100):
            seen += second.drain(100, 1 << 30)
            first.hold(0.1)
    with pytest.raises(Unavailable):  # calls of the abandoned batch that still run write nothing more
        lease.check("milvus", call_seconds=1)
    for _ in range(100):
        seen += second.drain(100, 1 << 30)
        seen += first.drain(100, 1 << 30)
        if len(values(seen)) == 3:
            break
    assert values(seen) == {"a", "b", "c"}
    first.done(batch)  # a late word about partitions that are the other's now: tolerated
    first.close()
    second.close()


FROZEN = """
import sys
from processor.consumer import ChangeConsumer
from processor.errors import Unavailable
from processor.lease import Lease
from processor.settings import KafkaSettings

kafka = KafkaSettings.model_validate_json(sys.argv[1])
lease = Lease(kafka.session_timeout_ms / 1000)
consumer = ChangeConsumer(kafka, [sys.argv[2]], lease)
while not (batch := consumer.drain(1, 1 << 20)):
    pass
print("has one", flush=True)
sys.stdin.readline()  # frozen and thawed meanwhile
consumer.drain(1, 1 << 20)
try:
    lease.check("milvus", 1)
    print("may write")
except Unavailable:
    print("may not write")
"""


@pytest.mark.parametrize("frozen", [True, False])
def test_a_process_that_was_frozen_beyond_its_session_holds_no_lease_by_what_it_had_fetched(
    kafka: KafkaSettings, topic: str, frozen: bool
) -> None:
    produce(kafka, topic, ["x"] * 60)
    process = subprocess.Popen(
        [sys.executable, "-c", FROZEN, kafka.model_dump_json(), topic],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "has one\n"
    other = ChangeConsumer(kafka, [topic])
    if frozen:
        process.send_signal(signal.SIGSTOP)
        while not drain_all(other, 60):
            pass  # the group has given all to the other
        process.send_signal(signal.SIGCONT)
    told, _ = process.communicate("\n", timeout=60)
    assert told == ("may not write\n" if frozen else "may write\n")
    other.close()


def test_a_poll_that_comes_too_late_abandons_the_batch_and_joins_the_group_anew(
    kafka: KafkaSettings, topic: str
) -> None:
    """As of a process that was frozen: the client leaves the group before it tells of lost partitions."""
    hasty = kafka.model_copy(update={"max_poll_interval_ms": kafka.session_timeout_ms})
    produce(kafka, topic, ["a", "b", "c"])
    lease = Lease(kafka.session_timeout_ms / 1000)
    consumer = ChangeConsumer(hasty, [topic], lease)
    assert values(drain_all(consumer, 3)) == {"a", "b", "c"}
    threading.Event().wait(kafka.session_timeout_ms / 1000 + 1)
    with pytest.raises(AssignmentLost):
        consumer.hold(5)
    with pytest.raises(Unavailable):
        lease.check("milvus", call_seconds=1)
    assert values(drain_all(consumer, 3)) == {"a", "b", "c"}
    consumer.close()


def test_a_restart_reads_on_from_the_first_record_that_is_still_open(
    kafka: KafkaSettings, topic: str
) -> None:
    produce(kafka, topic, ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"])
    consumer = ChangeConsumer(kafka, [topic])
    batch = drain_all(consumer, 9)
    (open_one,) = (message for message in batch if message.value == b"b1")
    consumer.done(batch, still_open=open_one.place)
    assert {consumer.done_until(topic, n) for n in range(PARTITIONS)} == {3}
    consumer.close()
    again = ChangeConsumer(kafka, [topic])
    batch = drain_all(again, 2)
    assert values(batch) == {"b1", "b2"}
    again.done(batch, still_open=batch[0].place)
    again.done([])  # done now, though nothing new was read
    again.close()
    last = ChangeConsumer(kafka, [topic])
    assert [last.drain(10, 1 << 20) for _ in range(20)] == [[]] * 20
    last.close()


def test_the_groups_lag_is_seen_from_outside(kafka: KafkaSettings, topic: str) -> None:
    produce(kafka, topic, ["a", "b", "c"])
    group = GroupOffsets(kafka, [topic])
    ends = group.ends()
    assert (group.lag(ends), group.retained()) == (3, 3)
    consumer = ChangeConsumer(kafka, [topic])
    batch = drain_all(consumer, 3)
    consumer.done(batch[:1])
    consumer.commit()
    assert group.lag(ends) == 2
    consumer.close()
    group.close()
