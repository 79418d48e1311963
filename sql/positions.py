"""Positions in PostgreSQL's log, and waiting until change capture has passed one.

A position (LSN) is an int: bytes since the log began, PostgreSQL's `X/Y` as `X << 32 | Y`.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from sql.queries import QUERIES


@dataclass(frozen=True)
class Slot:
    """A replication slot; before `confirmed_flush_lsn` its reader has everything safely stored."""

    name: str
    active: bool
    wal_status: str | None
    safe_wal_size: int | None
    confirmed_flush_lsn: int | None
    lag_bytes: int | None


def format_lsn(lsn: int) -> str:
    """As PostgreSQL prints it: `0/16B3748`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def insert_lsn(connection: sa.Connection) -> int:
    """Where the log ends now."""
    return int(connection.execute(sa.text(QUERIES["insert_lsn"])).scalar_one())


def read_slot(connection: sa.Connection, name: str) -> Slot | None:
    """The slot's state, or None when there is no such slot."""
    row = connection.execute(sa.text(QUERIES["slot"]), {"slot": name}).one_or_none()
    if row is None:
        return None
    numbers = (None if value is None else int(value) for value in (row[3], row[4], row[5]))
    return Slot(row[0], row[1], row[2], *numbers)


def mark(engine: sa.Engine) -> int:
    """Commit a marker; return a position behind all that had committed before, at most at its own commit.

    And a second one: Debezium confirms a transaction when it has seen a record of a later one, which else is
    the next heartbeat.
    """
    with engine.begin() as connection:
        connection.execute(sa.text(QUERIES["forget_marks"]))
        connection.execute(sa.text(QUERIES["mark"]))
        lsn = insert_lsn(connection)
    leave_mark(engine)
    return lsn


def leave_mark(engine: sa.Engine) -> int:
    """Commit a marker and return its number: the key of the record that it becomes in Kafka."""
    with engine.begin() as connection:
        return int(connection.execute(sa.text(QUERIES["mark"])).scalar_one())


def wait_streamed(engine: sa.Engine, slot: str, lsn: int, timeout_seconds: float) -> None:
    """Wait until everything before `lsn` is in Kafka: the slot's reader has confirmed it.

    Raises:
        TimeoutError: it did not get there in time; names the slot and both positions.
    """

    def confirmed() -> Slot | None:
        with engine.connect() as connection:
            return read_slot(connection, slot)

    def behind(found: Slot | None) -> bool:
        return found is None or (found.confirmed_flush_lsn or 0) < lsn

    waiting = Retrying(
        retry=retry_if_result(behind), wait=wait_fixed(0.05), stop=stop_after_delay(timeout_seconds)
    )
    try:
        waiting(confirmed)
    except RetryError as error:
        last = error.last_attempt.result()
        at = (
            "there is no such slot"
            if last is None
            else f"it is at {format_lsn(last.confirmed_flush_lsn or 0)}"
        )
        raise TimeoutError(
            f"slot {slot} did not pass {format_lsn(lsn)} in {timeout_seconds} s: {at}"
        ) from None
