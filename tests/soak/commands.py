"""The audit: which records repairs have had written anew."""

from __future__ import annotations

from collections.abc import Iterator

from processor.keys import key_text, parse_kafka_key
from processor.refresh import Command, refresh_topic
from processor.settings import Settings
from processor.tables import PROJECTIONS, topic_of
from processor.tables.base import Projection
from tests.integration.records import ends, records
from tests.soak.runs import Place

Begin = dict[str, dict[int, int]]
"""Topic -> partition -> offset."""


def command_ends(settings: Settings) -> Begin:
    """Where the topics of commands end now."""
    topics = _topics(settings)
    return {topic: {n: end for n, (_, end) in ends(settings, topic).items()} for topic in topics}


def commands(settings: Settings, begin: Begin, run_ids: set[str]) -> Iterator[Place]:
    """Each record that one of these runs has commanded, as often as it did."""
    for topic, table in _topics(settings).items():
        for record in records(settings, topic, begin[topic]):
            command = Command.from_bytes(bytes(record.value() or b""))
            if command.run_id in run_ids:
                values = parse_kafka_key(table.key_columns, bytes(record.key() or b""))
                for store in command.stores or ():
                    yield table.name, store, key_text(table.key_columns, values)


def _topics(settings: Settings) -> dict[str, Projection]:
    prefix = settings.kafka.topic_prefix
    return {refresh_topic(topic_of(prefix, table)): table for table in PROJECTIONS if table.views}
