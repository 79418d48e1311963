"""Writes records to Kafka and waits until the broker has them: letters, and refresh commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, murmur2
from confluent_kafka import Message as KafkaMessage

from processor.errors import SourceError
from processor.refresh import Request
from processor.settings import KafkaSettings

HEADER_ROOM: Final = 64 * 1024
"""Bytes that a letter may be larger than its record, for the headers."""
FLUSH_SECONDS: Final = 30


Delivered = Callable[[KafkaError | None, KafkaMessage], None]


@dataclass(frozen=True, slots=True)
class Parcel:
    """One record to be written; `partition` None: the one of its key, as Connect chooses it."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    timestamp: int | None = None
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Connect chooses for a key."""
    return murmur2(key, partitions)


class Delivery:
    """A producer that never says "sent" before the broker has said "kept"."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    @cached_property
    def _producer(self) -> Producer:
        """Made with the first record: most processors never write one."""
        return Producer(
            {
                **self._settings.client(),
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",  # Connect's; the client's own default is another
                "message.max.bytes": self._settings.max_message_bytes + HEADER_ROOM,
                "delivery.timeout.ms": FLUSH_SECONDS * 1000,
            }
        )

    def deliver(self, parcels: Sequence[Parcel]) -> None:
        """Write all of them.

        Raises:
            SourceError: the broker did not acknowledge them all; what they stand for must not count as done.
        """
        if not parcels:
            return
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: KafkaMessage) -> None:
            if error is not None:
                errors.append(error)

        for parcel in parcels:
            self._produce(parcel, delivered)
        missing = self._producer.flush(FLUSH_SECONDS)
        if errors or missing:
            reason = str(errors[0]) if errors else f"{missing} not acknowledged in {FLUSH_SECONDS} s"
            raise SourceError(f"{parcels[0].topic} at {self._settings.bootstrap_servers}: {reason}")

    def send(self, requests: Sequence[Request]) -> None:
        """Write refresh commands; raises as `deliver`."""
        self.deliver([Parcel(r.topic, r.key, r.command.to_bytes(), r.partition) for r in requests])

    def _produce(self, parcel: Parcel, delivered: Delivered) -> None:
        given: dict[str, Any] = {"partition": parcel.partition, "timestamp": parcel.timestamp}
        try:
            self._producer.produce(
                parcel.topic,
                key=parcel.key,
                value=parcel.value,
                headers=list(parcel.headers),
                on_delivery=delivered,
                **{name: value for name, value in given.items() if value is not None},
            )
        except (KafkaException, BufferError) as error:
            raise SourceError(f"a record could not be written to {parcel.topic}: {error}") from error
