"""Waiting for a connector, and saying why it does not come."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from ops.connector.client import Connect, Status
from ops.connector.cures import causes, find_cure
from processor.errors import SourceError
from sql.positions import format_lsn, mark, read_slot, wait_streamed

SETTLE_SECONDS: Final = 1.0
"""A task that is about to fail at once was seen RUNNING for 0.1 s."""

LOOK_SECONDS: Final = 1.0
"""How often to tell how far it is, and to ask whether the task failed, while waiting for its position."""

RETRIED: Final = (
    "aegis stack logs connect; Debezium retries errors of PostgreSQL without end and stays RUNNING"
)


def explain_failure(name: str, status: Status) -> SourceError:
    """A failed task as what happened, why and what to run."""
    cure = find_cure(status.trace)
    why = "\n  ".join(causes(status.trace))
    summary = cure.cause if cure else "not one of the known causes"
    return SourceError(
        f"connector {name} failed: {summary}\n  {why}",
        hint=cure.next if cure else "aegis stack logs connect; then aegis connector restart --only-failed",
    )


def wait_running(connect: Connect, name: str, seconds: float) -> Status:
    """Wait until connector and task run and go on running.

    Raises:
        SourceError: the task failed, with its causes and the cure; or it did not run in `seconds`.
    """
    last: Status | None = None
    since = time.monotonic()

    def unsettled(status: Status | None) -> bool:
        nonlocal last, since
        if status != last:
            last, since = status, time.monotonic()
        settled = status is not None and (status.running or status.failed)
        return not settled or time.monotonic() - since < SETTLE_SECONDS

    waiting = Retrying(retry=retry_if_result(unsettled), wait=wait_fixed(0.2), stop=stop_after_delay(seconds))
    try:
        status = waiting(connect.status, name)
    except RetryError:
        seen = f"{last.connector}, tasks {', '.join(last.tasks) or 'none'}" if last else "not registered"
        raise SourceError(
            f"connector {name} does not run after {seconds:g} s: {seen}",
            hint="aegis stack logs connect; a new slot waits until transactions that were open have ended",
        ) from None
    assert status is not None
    if status.failed:
        raise explain_failure(name, status)
    return status


def wait_stopped(connect: Connect, name: str, seconds: float) -> None:
    """Wait until a connector was stopped and its tasks are gone.

    Raises:
        SourceError: it did not stop in `seconds`.
    """

    def going(status: Status | None) -> bool:
        return status is None or status.connector != "STOPPED" or bool(status.tasks)

    waiting = Retrying(retry=retry_if_result(going), wait=wait_fixed(0.3), stop=stop_after_delay(seconds))
    try:
        waiting(connect.status, name)
    except RetryError:
        raise SourceError(
            f"connector {name} did not stop in {seconds:g} s", hint="aegis stack logs connect, then try again"
        ) from None


def _wait_slot(engine: sa.Engine, slot: str, seconds: float) -> None:
    def missing() -> bool:
        with engine.connect() as connection:
            return read_slot(connection, slot) is None

    waiting = Retrying(retry=retry_if_result(bool), wait=wait_fixed(0.2), stop=stop_after_delay(seconds))
    with contextlib.suppress(RetryError):  # the caller says what it waited for
        waiting(missing)


def wait_caught_up(
    connect: Connect,
    name: str,
    engine: sa.Engine,
    slot: str,
    seconds: float,
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Wait until everything committed before this call is in Kafka.

    A new slot begins at the end of the log, before the snapshot is read, and moves only when streaming
    begins. So the position to wait for must lie behind that beginning: it is taken after the slot exists
    and something was committed since. `tell` is called about once a second meanwhile.

    Raises:
        SourceError: the task failed, with its causes and the cure; or it did not get there in `seconds`.
    """
    end = time.monotonic() + seconds
    _wait_slot(engine, slot, seconds)
    mark(engine)
    lsn = mark(engine)
    while (left := end - time.monotonic()) > 0:
        try:
            return wait_streamed(engine, slot, lsn, min(left, LOOK_SECONDS))
        except TimeoutError:
            tell()
            status = connect.status(name)
        if status is not None and status.failed:
            raise explain_failure(name, status)
    with engine.connect() as connection:
        found = read_slot(connection, slot)
    at = f"it is at {format_lsn(found.confirmed_flush_lsn or 0)}" if found else "there is no such slot"
    raise SourceError(
        f"slot {slot} did not pass {format_lsn(lsn)} in {seconds:g} s: {at}",
        hint=f"aegis connector status; {RETRIED}",
    )
