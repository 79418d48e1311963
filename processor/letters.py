"""Dead letters: the original record byte for byte, with the reason in its headers (names after KIP-1191)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage

from processor.change import Message
from processor.errors import SourceError
from processor.settings import KafkaSettings

PREFIX: Final = "__dlq.errors."
HEADER_ROOM: Final = 64 * 1024
"""Bytes that a letter may be larger than its record, for the headers."""
MAX_REASON: Final = 4_000
FLUSH_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Letter:
    """Why one record could not be applied, and what each store made of it.

    Attributes:
        stage: decode, project or apply.
        code: the DP code.
        store: the store that refused, if one did.
        outcomes: store -> applied | rejected | skipped.
    """

    message: Message
    stage: str
    code: str
    exception: str
    reason: str
    store: str | None = None
    outcomes: Mapping[str, str] = field(default_factory=dict)


Delivered = Callable[[KafkaError | None, KafkaMessage], None]


def letter_topic(topic: str) -> str:
    """The dead-letter topic of a table's topic."""
    return f"dlq.{topic}"


def letter_headers(letter: Letter, group: str, now_ms: int) -> list[tuple[str, bytes]]:
    """The original headers followed by ours, as UTF-8 text."""
    message = letter.message
    ours = {
        "topic": message.topic,
        "partition": str(message.partition),
        "offset": str(message.offset),
        "group": group,
        "delivery.count": "1",
        "message": letter.reason[:MAX_REASON],
        "stage": letter.stage,
        "exception": letter.exception,
        "code": letter.code,
        "store": letter.store or "",
        "outcomes": json.dumps(dict(letter.outcomes), ensure_ascii=False),
        "first.failed.at": str(now_ms),
    }
    return [*message.headers, *((PREFIX + name, text.encode()) for name, text in ours.items())]


class LetterBox:
    """Writes letters and waits until the broker has them: only then may the source offset be stored."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._group = settings.group_id
        self._settings = settings

    @cached_property
    def _producer(self) -> Producer:
        """Made with the first letter: most processors never write one."""
        return Producer(
            {
                **self._settings.client(),
                "acks": "all",
                "enable.idempotence": True,
                "message.max.bytes": self._settings.max_message_bytes + HEADER_ROOM,
                "delivery.timeout.ms": FLUSH_SECONDS * 1000,
            }
        )

    def post(self, letters: Sequence[Letter]) -> None:
        """Write all letters.

        Raises:
            SourceError: the broker did not acknowledge them all; the source offsets must not be stored.
        """
        if not letters:
            return
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: KafkaMessage) -> None:
            if error is not None:
                errors.append(error)

        for letter in letters:
            self._produce(letter, delivered)
        missing = self._producer.flush(FLUSH_SECONDS)
        if errors or missing:
            reason = str(errors[0]) if errors else f"{missing} not acknowledged in {FLUSH_SECONDS} s"
            raise SourceError(
                f"dead letters could not be written to {self._settings.bootstrap_servers}: {reason}"
            )

    def _produce(self, letter: Letter, delivered: Delivered) -> None:
        message = letter.message
        try:
            self._producer.produce(
                letter_topic(message.topic),
                key=message.key,
                value=message.value,
                partition=message.partition,  # the topics have equal partitions: no need to hash again
                timestamp=message.timestamp,
                headers=list(letter_headers(letter, self._group, int(time.time() * 1000))),
                on_delivery=delivered,
            )
        except (KafkaException, BufferError) as error:
            raise SourceError(f"a dead letter could not be written: {error}") from error
