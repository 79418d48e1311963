"""Dead letters: the original record byte for byte, with the reason in its headers (names after KIP-1191)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from processor.change import Message, Poison
from processor.delivery import Delivery, Parcel
from processor.errors import STORE_CODES, RowRejected
from processor.refresh import PREFIX as REFRESH
from processor.refresh import Replay
from processor.tables.base import Projection

PREFIX: Final = "__dlq.errors."
MAX_REASON: Final = 4_000


@dataclass(frozen=True, slots=True)
class Letter:
    """Why one record could not be applied, and what each store made of it.

    Attributes:
        stage: decode, project or apply.
        code: the DP code.
        store: the store that refused, if one did.
        outcomes: store -> rejected | compensated (took it, was put back) | compensation_failed (was not) |
            skipped (was never asked).
        replay: the letter of which this is a replay that failed.
    """

    message: Message
    stage: str
    code: str
    exception: str
    reason: str
    store: str | None = None
    outcomes: Mapping[str, str] = field(default_factory=dict)
    replay: Replay | None = None


def letter_of_poison(poison: Poison) -> Letter:
    """Of a message that says nothing we can read."""
    return Letter(
        message=poison.message,
        stage="decode",
        code=poison.error.code or "",
        exception=type(poison.error).__name__,
        reason=str(poison.error),
    )


def letter_of_rejected(
    projection: Projection,
    message: Message,
    key: str,
    error: RowRejected,
    replay: Replay | None = None,
    outcomes: Mapping[str, str] | None = None,
) -> Letter:
    """Of a row that our own validation refuses; `outcomes` of the stores for which that meant anything."""
    return Letter(
        message=message,
        stage="project",
        code=error.code or "",
        exception=type(error).__name__,
        reason=f"{projection.name} {key}: {error}",
        outcomes=dict.fromkeys((view.store for view in projection.views), "skipped") | dict(outcomes or {}),
        replay=replay,
    )


def letter_of_refused(
    projection: Projection,
    message: Message,
    key: str,
    reasons: Mapping[str, str],
    outcomes: Mapping[str, str],
    replay: Replay | None = None,
) -> Letter:
    """Of a row that some stores refuse; `reasons` by store. `outcomes` of those that were asked."""
    store, reason = next(iter(reasons.items()))
    return Letter(
        message=message,
        stage="apply",
        code=STORE_CODES.get(store, ""),
        exception="Rejected",
        reason=f"{projection.name} {key}: {store}: {reason}",
        store=store,
        outcomes=dict.fromkeys((view.store for view in projection.views), "skipped") | dict(outcomes),
        replay=replay,
    )


def rows_at_fault(letters: Iterable[Letter]) -> int:
    """How many rows fail that did not before.

    One that changes often is one fault, however many letters it makes; a replay that fails is none: the
    operator who asked for it is to see it fail, not to have the processor stopped.
    """
    messages = (letter.message for letter in letters if not letter.replay)
    return len({(m.topic.removeprefix(REFRESH), m.key or m.offset) for m in messages})


def letter_topic(topic: str) -> str:
    """The dead-letter topic of a table's topic, or of its commands' topic."""
    return f"dlq.{topic.removeprefix(REFRESH)}"


def letter_headers(letter: Letter, group: str, now_ms: int) -> list[tuple[str, bytes]]:
    """The original headers followed by ours, as UTF-8 text."""
    message, replay = letter.message, letter.replay
    first_failed_at = replay.first_failed_at if replay else None
    ours = {
        "topic": message.topic,
        "partition": str(message.partition),
        "offset": str(message.offset),
        "group": group,
        "delivery.count": str(replay.replays + 1 if replay else 1),
        "message": letter.reason[:MAX_REASON],
        "stage": letter.stage,
        "exception": letter.exception,
        "code": letter.code,
        "store": letter.store or "",
        "outcomes": json.dumps(dict(letter.outcomes), ensure_ascii=False),
        "first.failed.at": str(now_ms if first_failed_at is None else first_failed_at),
    }
    if replay:
        ours["letter"] = replay.letter
    return [*message.headers, *((PREFIX + name, text.encode()) for name, text in ours.items())]


class LetterBox:
    """Writes letters and waits until the broker has them: only then may the source offset be stored."""

    def __init__(self, delivery: Delivery, group: str) -> None:
        self._delivery = delivery
        self._group = group

    def post(self, letters: Sequence[Letter]) -> None:
        """Write all letters.

        Raises:
            SourceError: the broker did not acknowledge them all; the source offsets must not be stored.
        """
        now = int(time.time() * 1000)
        self._delivery.deliver(
            [
                Parcel(
                    topic=letter_topic(letter.message.topic),
                    key=letter.message.key,
                    value=letter.message.value,
                    # the topics have equal partitions: no need to hash again
                    partition=letter.message.partition,
                    timestamp=letter.message.timestamp,
                    headers=letter_headers(letter, self._group, now),
                )
                for letter in letters
            ]
        )
