"""One letter: what its record says, what the stores made of it, what a replay would do now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ops.dlq.selection import parse_place
from processor.change import Change, Message, Poison
from processor.dead_letters import DeadLetter, failed_record, read_letter
from processor.decode import Decoded, Decoder
from processor.errors import AegisError, ConfigurationError, DecodeError, RowRejected, SourceError
from processor.letter_topics import LetterTopics
from processor.refresh import PREFIX, Command
from processor.registry import SchemaRegistry
from processor.rows import UNAVAILABLE, Row
from processor.settings import Settings
from processor.tables.base import Projection

HEX_BYTES: Final = 32
OUTCOMES: Final[Mapping[str, str]] = {
    "applied": "took it",
    "rejected": "refused it",
    "compensated": "took it, was put back",
    "compensation_failed": "took it, could not be put back",
    "skipped": "was not asked",
}


@dataclass(frozen=True)
class Forecast:
    """What a replay would do now: write, remove, fail (again) or nothing; why; and how often it still may."""

    would: str
    why: str
    times_left: int

    def as_json(self) -> dict[str, Any]:
        """As scripts see it."""
        return {"would": self.would, "why": self.why, "times_left": self.times_left}


@dataclass(frozen=True)
class Examined:
    """A letter with its record as far as it can be read; `unread` says why it cannot."""

    letter: DeadLetter
    forecast: Forecast
    change: Change | None = None
    command: Command | None = None
    unread: str = ""
    value: bytes | None = None

    def as_json(self) -> dict[str, Any]:
        """All of it; images in Row form, without what did not travel."""
        shown: dict[str, Any] = letter_json(self.letter)
        if self.change is not None:
            images = {"before": _travelled(self.change.before), "after": _travelled(self.change.after)}
            shown["change"] = {"operation": self.change.op.value, **images}
        if self.command is not None:
            shown["command"] = self.command.model_dump(mode="json")
        if self.unread:
            shown["undecoded"] = {
                "reason": self.unread,
                "begins": self.begins,
                "bytes": len(self.value or b""),
            }
        return shown | {"replay": self.forecast.as_json()}

    @property
    def begins(self) -> str:
        """The first bytes of the value."""
        return (self.value or b"")[:HEX_BYTES].hex(" ")


def letter_json(letter: DeadLetter) -> dict[str, Any]:
    """A letter as scripts see it; times in ms since 1970."""
    names = ("table", "place", "failed", "key", "tries", "first_failed_at", "stage", "code", "exception")
    shown = {name: getattr(letter, name) for name in names}
    shown |= {"store": letter.store or None, "reason": letter.reason, "group": letter.group}
    return shown | {
        "outcomes": dict(letter.outcomes),
        "first_letter": letter.first_place,
        "nameless": letter.nameless or None,
    }


def examine(settings: Settings, topics: LetterTopics, place: str, max_replays: int) -> Examined:
    """Read and decode the letter at `place`, and its row.

    Raises:
        ConfigurationError: no such topic.
        AegisError: no letter there; Kafka or PostgreSQL does not answer.
    """
    topic, partition, offset = parse_place(place)
    projection = topics.projections.get(topic)
    if projection is None:
        known = ", ".join(topics.projections)
        raise ConfigurationError(f"no dead-letter topic {topic!r}", hint=f"one of: {known}")
    message = topics.one(topic, partition, offset)
    if message is None:
        raise AegisError(f"no letter at {place}", hint="aegis dlq list --all shows those that are kept")
    letter = read_letter(projection, message)
    forecast = _look_forward(settings, projection, letter, max_replays)
    return _decode(settings, projection, letter, message, forecast)


def foresee(projection: Projection, letter: DeadLetter, row: Row | None, max_replays: int) -> Forecast:
    """What a replay would do, given the row as it is in PostgreSQL now. Pure."""
    times = max(max_replays - letter.tries + 1, 0)
    if letter.values is None:
        return Forecast("nothing", f"names no row: {letter.nameless}", 0)
    if row is None:
        return Forecast("remove", "PostgreSQL has no such row", times)
    if not projection.predicate(row):
        return Forecast("remove", "the row is not to be shown", times)
    try:
        for view in projection.views:
            projection.body(view, row)
    except RowRejected as error:
        return Forecast("fail", str(error), times)
    stores = ", ".join(view.store for view in projection.views)
    return Forecast("write", f"PostgreSQL has the row: to {stores}", times)


def _look_forward(
    settings: Settings, projection: Projection, letter: DeadLetter, max_replays: int
) -> Forecast:
    from processor.database import connect
    from processor.source import read_rows

    if letter.values is None:
        return foresee(projection, letter, None, max_replays)
    with connect(settings.postgres.processor_url()) as connection:
        row = read_rows(connection, projection, [letter.values]).get(letter.key)
    return foresee(projection, letter, row, max_replays)


def _decode(
    settings: Settings, projection: Projection, letter: DeadLetter, message: Message, forecast: Forecast
) -> Examined:
    try:
        record = failed_record(message)
        if record.topic.startswith(PREFIX):
            return Examined(letter, forecast, command=Command.from_bytes(record.value or b""))
        found = _decode_change(settings, projection, record)
    except (DecodeError, SourceError) as error:
        return Examined(letter, forecast, unread=str(error), value=message.value)
    if isinstance(found, Change):
        return Examined(letter, forecast, change=found)
    reason = str(found.error) if isinstance(found, Poison) else "it says nothing about a row"
    return Examined(letter, forecast, unread=reason, value=message.value)


def _decode_change(settings: Settings, projection: Projection, record: Message) -> Decoded | None:
    """A schema that is unknown now is not waited for."""
    registry = SchemaRegistry(settings.registry.model_copy(update={"unknown_id_seconds": 0}))
    try:
        return Decoder(registry, {record.topic: projection}).decode(record)
    finally:
        registry.close()


def _travelled(row: Row | None) -> dict[str, Any] | None:
    return None if row is None else {name: value for name, value in row.items() if value is not UNAVAILABLE}
