"""The fence: "the stores show every transaction whose commit lies before this position of the log".

Nothing weaker will do. A consumer without lag has only read what Kafka holds: what PostgreSQL has committed
and the connector has not sent yet is in nobody's lag. And a position in a process' memory says nothing after
a crash.

A fence that cannot be passed is told as its cause: never as drift, never as "ok".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

import httpx
import sqlalchemy as sa
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.database import engine_of
from processor.keys import kafka_key
from processor.offsets import GroupOffsets, Offsets, group_members
from processor.refresh import refresh_topic
from processor.settings import Settings
from processor.tables import topic_of
from processor.tables.base import Projection
from processor.tail import Tail
from reconciler.errors import CannotVerify
from sql.capture import CONNECTOR, MARKERS, SLOT
from sql.positions import Slot, format_lsn, leave_mark, mark, read_slot, wait_streamed
from sql.queries import QUERIES

PAUSE_SECONDS: Final = 0.1
MEANINGLESS: Final[Mapping[str, tuple[str, Callable[[str], bool]]]] = {
    "flush.lsn.source": ("it never confirms what it has read", lambda value: value != "true"),
    "lsn.flush.mode": (
        "its position is confirmed before its records are in Kafka",
        lambda value: value != "connector",
    ),
    "heartbeat.interval.ms": ("its position stands still while no table changes", lambda value: value == "0"),
    "errors.tolerance": ("it leaves out records without a word", lambda value: value != "none"),
    "skipped.operations": ("it leaves out changes", lambda value: value != "none"),
}
"""Settings of the connector under which its slot's position does not mean "all before is in Kafka"."""
AT_REST: Final = ("PAUSED", "STOPPED", "FAILED")
"""States that the connector does not leave by itself."""
DEFAULTS: Final = {
    "flush.lsn.source": "true",
    "lsn.flush.mode": "connector",
    "heartbeat.interval.ms": "0",
    "errors.tolerance": "none",
    "skipped.operations": "t",
}


@dataclass(frozen=True)
class Pipe:
    """What brings PostgreSQL's log to Kafka."""

    connector: str = CONNECTOR
    slot: str = SLOT


class Fence:
    """Fences for some tables of one database."""

    def __init__(
        self, settings: Settings, tables: Iterable[Projection], seconds: float, pipe: Pipe | None = None
    ) -> None:
        """`tables`: all that are captured, dependencies included; `seconds`: how long one fence may take."""
        self._settings = settings
        self._seconds = seconds
        self._pipe = pipe or Pipe()
        self._tables = {projection.full_name: projection for projection in tables}
        self._groups: dict[str, tuple[GroupOffsets, GroupOffsets]] = {}

    def check(self) -> None:
        """Whether positions mean what they should, before any is waited for.

        Raises:
            CannotVerify: names the cause.
            SourceError: PostgreSQL or Kafka does not answer.
        """
        with engine_of(self._settings.postgres.url()) as engine, engine.connect() as connection:
            if connection.scalar(sa.text(QUERIES["is_standby"])):
                raise CannotVerify("PostgreSQL is a standby", hint="point POSTGRES_HOST to the primary")
            check_slot(self._pipe.slot, read_slot(connection, self._pipe.slot))
        self._check_connector()
        group = self._settings.kafka.group_id
        if not group_members(self._settings.kafka):
            raise CannotVerify(f"no processor runs in group {group}", hint="aegis process")
        for projection in self._tables.values():
            changes, _ = self._offsets(projection)
            if changes.retained() and not changes.has_committed():
                raise CannotVerify(
                    f"group {group} has no committed offsets for {projection.name}",
                    hint="wait for the processor, or check KAFKA_GROUP_ID",
                )
        self._check_source()

    def mark(self) -> int:
        """Commit a marker; its position (LSN) lies at or before the marker's own commit."""
        with engine_of(self._settings.postgres.url()) as engine:
            return mark(engine)

    def wait(self, tables: Iterable[Projection], lsn: int) -> None:
        """Wait until the stores show of these tables all that was committed before `lsn`.

        A marker first: the slot's position moves past `lsn` only with a record behind it. Then changes of
        each table and of those that show in it; they cause commands, which are in their topic before the
        offset of their cause is committed. A command to sweep causes others, and is committed when these are
        written: so commands are waited for twice.

        Raises:
            CannotVerify: it took too long; names what did not come.
        """
        deadline = time.monotonic() + self._seconds
        with engine_of(self._settings.postgres.url()) as engine:
            mark(engine)
            try:
                wait_streamed(engine, self._pipe.slot, lsn, self._seconds)
            except TimeoutError as error:
                raise CannotVerify(str(error), hint="aegis connector status") from error
        for projection in tables:
            changes, commands = self._offsets(projection)
            for group in (changes, commands, commands):
                seconds = max(deadline - time.monotonic(), PAUSE_SECONDS)
                self._await(group, group.ends(), projection, seconds)

    def close(self) -> None:
        """Close the connections."""
        for pair in self._groups.values():
            for group in pair:
                group.close()

    def _await(self, group: GroupOffsets, ends: Offsets, projection: Projection, seconds: float) -> None:
        committed = group.committed()
        if any(committed.get(place, 0) > end for place, end in ends.items()):
            raise CannotVerify(
                f"offsets of {projection.name} are committed beyond the end of its topic: it was made anew",
                hint="aegis process says what to do",
            )
        waiting = Retrying(
            retry=retry_if_result(lambda lag: lag > 0),
            wait=wait_fixed(PAUSE_SECONDS),
            stop=stop_after_delay(seconds),
        )
        try:
            waiting(group.lag, ends)
        except RetryError as error:
            lag = error.last_attempt.result()
            raise CannotVerify(
                f"the processor did not come through {projection.name} in {self._seconds:g} s: "
                f"{lag:,} records are left",
                hint="aegis status; if it is only slow, --fence-seconds with more",
            ) from None

    def _offsets(self, projection: Projection) -> tuple[GroupOffsets, GroupOffsets]:
        """Of the changes that a table is made of, and of the commands about it."""
        if projection.full_name not in self._groups:
            prefix, kafka = self._settings.kafka.topic_prefix, self._settings.kafka
            others = [self._tables[dependency.table] for dependency in projection.dependencies]
            topics = [topic_of(prefix, table) for table in (projection, *others)]
            self._groups[projection.full_name] = (
                GroupOffsets(kafka, topics),
                GroupOffsets(kafka, [refresh_topic(topics[0])]),
            )
        return self._groups[projection.full_name]

    def _check_source(self) -> None:
        """Whether Kafka is fed from this very PostgreSQL: else the stores show another one's rows."""
        postgres, kafka = self._settings.postgres, self._settings.kafka
        tail = Tail(kafka, f"{kafka.topic_prefix}.{MARKERS}")
        with closing(tail), engine_of(postgres.url()) as engine:
            number = leave_mark(engine)
            if not tail.has(kafka_key(["id"], {"id": number}), self._seconds):
                raise CannotVerify(
                    f"what is written to postgresql at {postgres.host}:{postgres.port} did not come to kafka "
                    f"at {kafka.bootstrap_servers} in {self._seconds:g} s: the connector is behind, or one "
                    "of them is another one's",
                    hint="aegis connector status; compare POSTGRES_* and KAFKA_* with the processor's",
                )

    def _check_connector(self) -> None:
        config = self._ask_connect("config")
        for name, (harm, is_wrong) in MEANINGLESS.items():
            value = str(config.get(name, DEFAULTS[name]))
            if is_wrong(value):
                raise CannotVerify(
                    f"connector {self._pipe.connector} runs with {name}={value}: {harm}",
                    hint="aegis connector apply",
                )
        status = self._ask_connect("status")
        for what, part in (("", status["connector"]), *(("'s task", task) for task in status["tasks"])):
            if part["state"] in AT_REST:
                raise CannotVerify(
                    f"connector {self._pipe.connector}{what} is {part['state']}",
                    hint="aegis connector status",
                )

    def _ask_connect(self, what: str) -> Any:
        """The connector's `config` or `status`."""
        url = f"{self._settings.connect.url.rstrip('/')}/connectors/{self._pipe.connector}/{what}"
        try:
            return httpx.get(url, timeout=10).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            # its own message may hold an address with a password
            told = type(error).__name__
            if isinstance(error, httpx.HTTPStatusError):
                told = f"Connect answered {error.response.status_code}"
            raise CannotVerify(
                f"connector {self._pipe.connector} cannot be asked for its {what}: {told}",
                hint="aegis connector status",
            ) from error


def check_slot(name: str, slot: Slot | None) -> None:
    """Whether somebody reads the log through the slot, and will find it.

    Raises:
        CannotVerify: names what is wrong with it.
    """
    if slot is None:
        raise CannotVerify(f"there is no replication slot {name}", hint="aegis connector status")
    if slot.wal_status == "lost":
        raise CannotVerify(f"replication slot {name} is lost", hint="aegis connector status")
    if not slot.active:
        at = format_lsn(slot.confirmed_flush_lsn or 0)
        raise CannotVerify(
            f"nobody reads replication slot {name}, which is at {at}", hint="aegis connector status"
        )
