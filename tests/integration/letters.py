"""Dead letters made for real, in a table of the tests' own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import sqlalchemy as sa
from confluent_kafka import Producer

from processor.delivery import partition_of
from processor.keys import kafka_key, parse_kafka_key
from processor.letter_topics import replay_settings
from processor.letters import letter_topic
from processor.offsets import GroupOffsets
from processor.refresh import Command, refresh_topic
from processor.settings import Settings
from tests.integration.conftest import ROOT
from tests.integration.loans import LOAN, LOANS
from tests.integration.own_tables import PARTITIONS, OwnTables, own_tables
from tests.integration.records import ends, records

GOOD, INFINITE = "2026-01-31", "infinity"
"""Days: no store can hold the second."""


@dataclasses.dataclass(frozen=True)
class Letters:
    """The table with its letters, and the commands that ask for a row again."""

    own: OwnTables

    @property
    def topic(self) -> str:
        return self.own.topic(LOAN)

    @property
    def dlq(self) -> str:
        return letter_topic(self.topic)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`aegis dlq`, as a process that the caller ends."""
        kafka = self.own.settings.kafka
        names = {"KAFKA_TOPIC_PREFIX": kafka.topic_prefix, "KAFKA_GROUP_ID": kafka.group_id}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.integration.loans", "dlq", *arguments],
            cwd=ROOT,
            env={**os.environ, **names},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, expect: int = 0) -> str:
        """What `aegis dlq` prints; of a failure, what it says."""
        with self.start(*arguments) as process:
            shown, told = process.communicate(timeout=120)
        assert process.returncode == expect, shown + told
        return told if expect else shown

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def write(self, day: str, *keys: str) -> None:
        """Insert rows."""
        rows = [{"id": key, "title": f"대출 {key}", "begins": _day(day)} for key in keys]
        with self.own.engine.begin() as connection:
            for row in rows:
                connection.execute(sa.insert(LOANS).values(row))

    def change(self, day: str, *keys: str) -> None:
        """Give rows another day."""
        with self.own.engine.begin() as connection:
            connection.execute(sa.update(LOANS).where(LOANS.c.id.in_(keys)).values(begins=_day(day)))

    def garbage(self, key: bytes | None, partition: int) -> None:
        """What no schema describes, beside the changes."""
        producer = Producer(self.own.settings.kafka.client())
        producer.produce(self.topic, key=key, value=b"\x01junk\xff", partition=partition)
        assert producer.flush(10) == 0

    def commands(self) -> list[tuple[str, Command]]:
        """All commands so far, by the row's key."""
        topic = refresh_topic(self.topic)
        begin = dict.fromkeys(range(PARTITIONS), 0)
        found = []
        for record in records(self.own.settings, topic, begin):
            key = bytes(record.key() or b"")
            assert record.partition() == partition_of(key, PARTITIONS)
            command = Command.from_bytes(bytes(record.value() or b""))
            found.append((parse_kafka_key(LOAN.key_columns, key)["id"], command))
        return found

    def asked(self) -> Counter[str]:
        """How often each row was asked for."""
        return Counter(key for key, _ in self.commands())

    def command_count(self) -> int:
        """How many commands there are; cheaper than reading them."""
        found = ends(self.own.settings, refresh_topic(self.topic))
        return sum(end for _, end in found.values())

    def positions(self) -> dict[int, int]:
        """How far replays have come, by partition."""
        with _group(self.own.settings, self.dlq) as group:
            return {partition: offset for (_, partition), offset in group.committed().items()}

    def ends(self) -> dict[int, int]:
        """Letters by partition."""
        return {partition: end for partition, (_, end) in ends(self.own.settings, self.dlq).items()}


@contextmanager
def _group(settings: Settings, topic: str) -> Iterator[GroupOffsets]:
    group = GroupOffsets(replay_settings(settings.kafka), [topic])
    yield group
    group.close()


@contextmanager
def letters(settings: Settings, engine: sa.Engine) -> Iterator[Letters]:
    """The table, captured; its processor takes any number of letters."""
    patient = settings.processor.model_copy(update={"dead_letter_ratio": 1.0, "dead_letter_run": 1_000_000})
    with own_tables(dataclasses.replace(settings, processor=patient), engine, [LOAN]) as own:
        yield Letters(own)


def _day(text: str) -> sa.ColumnElement[Any]:
    return sa.cast(sa.literal(text, sa.Text), sa.Date)


def key_bytes(key: str) -> bytes:
    """As Connect writes it."""
    return kafka_key(LOAN.key_columns, {"id": key})


def keys_on(partition: int, name: str) -> Iterator[str]:
    """Keys whose changes lie on that partition."""
    return (
        key
        for key in (f"{name}-{n}" for n in count())
        if partition_of(key_bytes(key), PARTITIONS) == partition
    )
