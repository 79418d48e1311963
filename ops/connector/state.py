"""How a connector is: what Connect, PostgreSQL and the broker each know of it, and what that means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ops.connector.client import Connect, Status
from ops.connector.topics import Topic, wanted_topics, wrong_partitions
from ops.connector.wait import RETRIED, explain_failure
from processor.database import connect as connect_database
from processor.errors import AegisError, ConfigurationError, SourceError
from processor.offsets import partition_counts
from processor.settings import Settings
from sql.capture import CONNECTOR, SLOT
from sql.positions import Slot, format_lsn, read_slot


@dataclass(frozen=True)
class State:
    """Connect's view, the replication slot, and the partitions found of every topic there must be."""

    connector: Status | None
    slot: Slot | None
    wanted: Sequence[Topic]
    found: Mapping[str, int]

    @property
    def missing(self) -> list[str]:
        """Topics that do not exist."""
        return [topic.name for topic in self.wanted if topic.name not in self.found]

    def as_json(self) -> dict[str, Any]:
        """As `aegis connector status --json` prints it; a missing topic has null partitions."""
        connector = self.connector
        return {
            "connector": {"state": connector.connector, "tasks": list(connector.tasks)}
            if connector
            else None,
            "slot": asdict(self.slot) if self.slot else None,
            "topics": {topic.name: self.found.get(topic.name) for topic in self.wanted},
        }

    def lines(self) -> list[str]:
        """For a person."""
        connector, there = self.connector, len(self.wanted) - len(self.missing)
        return [
            f"connector {CONNECTOR}: {connector.connector if connector else 'not registered'}",
            f"tasks: {', '.join(connector.tasks) if connector and connector.tasks else 'none'}",
            _slot_line(self.slot),
            f"topics: {there} of {len(self.wanted)}",
        ]


def _slot_line(slot: Slot | None) -> str:
    if slot is None:
        return f"slot {SLOT}: does not exist"
    return (
        f"slot {slot.name}: {'active' if slot.active else 'inactive'}, log {slot.wal_status}, "
        f"confirmed to {format_lsn(slot.confirmed_flush_lsn or 0)}, {slot.lag_bytes or 0:,} bytes behind"
    )


def read_state(settings: Settings, connect: Connect) -> State:
    """Ask all three.

    Raises:
        SourceError: one of them does not answer.
    """
    status = connect.status(CONNECTOR)
    with connect_database(settings.postgres.url()) as connection:
        slot = read_slot(connection, SLOT)
    return State(status, slot, wanted_topics(settings.kafka), partition_counts(settings.kafka))


def fault(state: State) -> AegisError | None:
    """What is wrong, with what to run, or None: the first that explains the others."""
    if state.connector is None:
        return SourceError(f"connector {CONNECTOR} is not registered", hint="aegis connector apply")
    if state.connector.failed:
        return explain_failure(CONNECTOR, state.connector)
    return _topic_fault(state) or _rest_fault(state.connector) or _slot_fault(state.slot)


def _topic_fault(state: State) -> AegisError | None:
    if state.missing:
        # the producer waits for a missing topic without end: RUNNING, slot active, nothing moves
        return SourceError(
            f"topics are missing, and the connector waits for them: {', '.join(state.missing)}",
            hint="aegis connector apply",
        )
    if wrong := wrong_partitions(state.wanted, state.found):
        return ConfigurationError("; ".join(wrong), hint="set KAFKA_PARTITIONS to what exists")
    return None


def _rest_fault(status: Status) -> AegisError | None:
    if status.connector in ("PAUSED", "STOPPED"):
        return SourceError(f"connector {CONNECTOR} is {status.connector}", hint="aegis connector resume")
    if status.running:
        return None
    tasks = ", ".join(status.tasks) or "none"
    return SourceError(
        f"connector {CONNECTOR} does not run: it is {status.connector}, tasks {tasks}",
        hint="look again in a moment; then aegis connector restart",
    )


def _slot_fault(slot: Slot | None) -> AegisError | None:
    if slot and slot.active:
        return None
    return SourceError(
        f"connector {CONNECTOR} runs, but does not read slot {SLOT}: it takes its snapshot, or tries again "
        "after an error",
        hint=RETRIED,
    )
