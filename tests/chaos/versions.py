"""Whether the versions that guard every store rise, per key, as the stream does: read from its topic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from confluent_kafka import Message as KafkaMessage

from processor.change import Change, Message, Op
from processor.decode import Decoder
from processor.registry import SchemaRegistry
from processor.settings import Settings
from processor.tables import by_topic
from tests.integration.records import ends, records

TOPIC = "aegis.public.policies"
Identity = tuple[int | None, str, int | None]
"""Of a change among those of its key: LSN, operation, transaction."""


@dataclass
class Versions:
    """What was seen of a topic's streamed changes.

    Attributes:
        duplicates: changes that were emitted before: a killed connector goes back, and that is allowed.
        altered: duplicates under another version than at first.
        snapshot_rows: rows of snapshots; they do not move a record's version.
        inversions: a change first seen under a smaller version than an earlier one of its key, and that one.
    """

    keys: set[str] = field(default_factory=set)
    events: int = 0
    duplicates: int = 0
    altered: list[tuple[Change, int]] = field(default_factory=list)
    snapshot_rows: int = 0
    inversions: list[tuple[Change, Change]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.events} changes of {len(self.keys)} keys, {self.duplicates} emitted again "
            f"({len(self.altered)} under another version), {self.snapshot_rows} snapshot rows, "
            f"{len(self.inversions)} inversions"
        )


def judge(changes: Iterable[Change]) -> Versions:
    """Look at changes in the order of their partitions."""
    found = Versions()
    first: dict[str, dict[Identity, int]] = {}
    highest: dict[str, Change] = {}
    for change in changes:
        if change.op is Op.READ:
            found.snapshot_rows += 1
            continue
        found.events += 1
        seen = first.setdefault(change.key, {})
        identity = (change.source.lsn, change.op.value, change.source.xid)
        if identity in seen:
            found.duplicates += 1
            if seen[identity] != change.position:
                found.altered.append((change, seen[identity]))
            continue
        seen[identity] = change.position
        held = highest.get(change.key)
        if held is None or change.position >= held.position:
            highest[change.key] = change
        else:
            found.inversions.append((change, held))
    found.keys = set(first)
    return found


class History:
    """The changes of one topic since this was made."""

    def __init__(self, settings: Settings, topic: str = TOPIC) -> None:
        self._settings, self._topic = settings, topic
        self._begin = {number: end for number, (_, end) in ends(settings, topic).items()}

    def versions(self) -> Versions:
        """Judge everything until now."""
        return judge(self.changes())

    def changes(self) -> list[Change]:
        """Everything until now, one partition after the other."""
        schemas = SchemaRegistry(self._settings.registry)
        decoder = Decoder(schemas, by_topic(self._settings.kafka.topic_prefix))
        messages = map(_message, records(self._settings, self._topic, self._begin))
        decoded = [decoder.decode(message) for message in messages]
        schemas.close()
        assert all(item is None or isinstance(item, Change) for item in decoded)
        return [item for item in decoded if isinstance(item, Change)]


def _message(record: KafkaMessage) -> Message:
    key, value = record.key(), record.value()
    assert isinstance(key, bytes)
    assert isinstance(value, bytes | None)
    place = (str(record.topic()), int(record.partition() or 0), int(record.offset() or 0))
    return Message(*place, key, value, headers=(), timestamp=0)
