"""What a record of a dead-letter topic says. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from processor.change import Message
from processor.errors import DecodeError
from processor.keys import key_text, parse_kafka_key
from processor.letters import PREFIX
from processor.tables.base import Projection

MAX_JUNK: Final = 200
"""Bytes that are kept of a key which is none: it may have megabytes, and a replay remembers it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One letter without its record's value.

    Attributes:
        place: topic/partition/offset of the letter itself.
        failed: the same of the record that failed; a letter written twice has it twice.
        key: the row's key as text; of a letter that names no row, its first bytes.
        values: the key's columns in Row form; None when it names no row, and `nameless` says why.
        timestamp: of the record that failed, ms since 1970.
        tries: how often it was tried to apply the row: 1, and one more with each replay that failed.
        first_failed_at: ms since 1970, the same through all replays.
        chain: place of the first letter, in that of a replay that failed.
    """

    table: str
    place: str
    offset: int
    failed: str
    key: str
    values: Mapping[str, Any] | None
    nameless: str
    timestamp: int
    tries: int
    first_failed_at: int
    stage: str
    code: str
    exception: str
    store: str
    reason: str
    group: str
    outcomes: Mapping[str, str]
    chain: str | None

    @property
    def written_at(self) -> int:
        """About when the letter was written, ms: a replay's command is younger than the first failure."""
        return max(self.timestamp, self.first_failed_at)

    @property
    def first_place(self) -> str:
        """Place of the first letter of its chain."""
        return self.chain or self.place


def read_letter(projection: Projection, message: Message) -> DeadLetter:
    """A letter of `projection`; what a strange one lacks is empty, a count 1, a time that of the record."""
    ours = {
        name.removeprefix(PREFIX): value.decode(errors="replace")
        for name, value in message.headers
        if name.startswith(PREFIX)
    }
    values, key, nameless = _read_key(projection, message.key)
    return DeadLetter(
        table=projection.name,
        place=str(message),
        offset=message.offset,
        failed="/".join(ours.get(name, "?") for name in ("topic", "partition", "offset")),
        key=key,
        values=values,
        nameless=nameless,
        timestamp=message.timestamp,
        tries=max(_number(ours.get("delivery.count"), 1), 1),
        first_failed_at=_number(ours.get("first.failed.at"), max(message.timestamp, 0)),
        stage=ours.get("stage", ""),
        code=ours.get("code", ""),
        exception=ours.get("exception", ""),
        store=ours.get("store", ""),
        reason=ours.get("message", ""),
        group=ours.get("group", ""),
        outcomes=_outcomes(ours.get("outcomes", "")),
        chain=ours.get("letter") or None,
    )


def failed_record(message: Message) -> Message:
    """The record that failed, as it stood in its own topic.

    Raises:
        DecodeError: the letter does not say where that was.
    """
    ours = dict(message.headers)
    try:
        topic, partition, offset = (ours[PREFIX + name] for name in ("topic", "partition", "offset"))
        headers = tuple(header for header in message.headers if not header[0].startswith(PREFIX))
        return Message(
            topic.decode(),
            int(partition),
            int(offset),
            message.key,
            message.value,
            headers,
            message.timestamp,
        )
    except (KeyError, ValueError) as error:
        raise DecodeError("the letter does not say which record failed") from error


def distinct(letters: Iterable[DeadLetter]) -> Iterator[DeadLetter]:
    """Without the repetitions that a crash between letter and offset leaves.

    The record's place alone does not tell: letters outlive a topic that is deleted and made anew.
    """
    seen: set[tuple[str, str, int]] = set()
    for letter in letters:
        record = (letter.failed, letter.key, letter.timestamp)
        if record not in seen or "?" in letter.failed:
            seen.add(record)
            yield letter


def _read_key(projection: Projection, key: bytes | None) -> tuple[dict[str, Any] | None, str, str]:
    """Its values, it as text, and why it names no row."""
    if key is None:
        return None, "", "it has no key"
    try:
        values = projection.check_key(parse_kafka_key(projection.key_columns, key))
    except (ValueError, DecodeError) as error:
        reason = f"not a key of {projection.name}: {error}"
        return None, key[:MAX_JUNK].decode(errors="backslashreplace"), reason[:MAX_JUNK]
    return values, key_text(projection.key_columns, values), ""


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else otherwise


def _outcomes(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {str(store): str(outcome) for store, outcome in found.items()} if isinstance(found, dict) else {}
