"""The audit: which records were commanded to be written anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from processor.keys import key_text, parse_kafka_key
from processor.refresh import Command
from processor.settings import Settings
from processor.tables.base import Projection
from tests.integration.records import ends, records

Topics = Mapping[str, Projection]
"""By topic of commands."""
Begin = dict[str, dict[int, int]]
"""Topic -> partition -> offset."""
Place = tuple[str, str, str]
"""Table, store and key."""


def command_ends(settings: Settings, topics: Topics) -> Begin:
    """Where the topics of commands end now."""
    return {topic: {n: end for n, (_, end) in ends(settings, topic).items()} for topic in topics}


def commands(settings: Settings, topics: Topics, begin: Begin) -> Iterator[tuple[Command, Place]]:
    """Every command since then, once for each record that it concerns."""
    for topic, table in topics.items():
        for record in records(settings, topic, begin[topic]):
            command = Command.from_bytes(bytes(record.value() or b""))
            values = parse_kafka_key(table.key_columns, bytes(record.key() or b""))
            for store in command.stores or ():
                yield command, (table.name, store, key_text(table.key_columns, values))
