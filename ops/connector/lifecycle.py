"""Configuring and restarting a connector, and forgetting how far it has come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from ops.connector.client import Connect
from ops.connector.wait import wait_stopped
from processor.database import engine_of
from processor.errors import SourceError
from processor.settings import PostgresSettings
from sql.positions import read_slot
from sql.queries import QUERIES


def configure(connect: Connect, name: str, config: dict[str, str], seconds: float) -> bool:
    """Create a connector, or change it and set it going; return whether its configuration was another.

    A connector that is there is stopped first: until a task has started anew, Connect goes on showing how it
    was before, so that a mended one looked failed, and a broken one running.

    Raises:
        SourceError: Connect refuses (the old configuration runs on), or it did not stop in `seconds`.
    """
    known = connect.config(name)
    if known == {**config, "name": name}:
        return False
    if known is None:
        connect.put_config(name, config)
        return True
    with _stopped(connect, name, seconds):
        connect.put_config(name, config)
    return True


def restart(connect: Connect, name: str, seconds: float) -> None:
    """Start connector and task anew; what is shown of them afterwards is new too.

    Raises:
        SourceError: it did not stop in `seconds`.
    """
    with _stopped(connect, name, seconds):
        pass


def wake(connect: Connect, name: str, seconds: float) -> None:
    """Set a connector going that is paused, stopped or failed; leave alone what runs."""
    status = connect.status(name)
    if status is None:
        return
    if status.failed:
        restart(connect, name, seconds)
    elif status.connector in ("PAUSED", "STOPPED"):
        connect.resume(name)


@contextmanager
def _stopped(connect: Connect, name: str, seconds: float) -> Iterator[None]:
    connect.stop(name)
    try:
        wait_stopped(connect, name, seconds)
        yield
    finally:
        connect.resume(name)


def forget_offsets(connect: Connect, name: str, seconds: float) -> None:
    """Stop a connector and delete its offsets: Connect does so for stopped connectors only.

    Raises:
        SourceError: it did not stop in `seconds`, or Connect refuses.
    """
    connect.stop(name)
    wait_stopped(connect, name, seconds)
    connect.delete_offsets(name)


def drop_slot(settings: PostgresSettings, slot: str, seconds: float = 30) -> None:
    """Drop a replication slot; nothing happens when there is none.

    The sender of a connector that just ended may hold the slot a moment longer, so this waits.

    Raises:
        SourceError: something still reads the slot after `seconds`.
    """

    def try_drop() -> bool:
        with engine_of(settings.url()) as engine, engine.begin() as connection:
            connection.execute(sa.text(QUERIES["drop_slot"]), {"slot": slot})
            return read_slot(connection, slot) is None

    dropping = Retrying(
        retry=retry_if_result(lambda gone: not gone), wait=wait_fixed(0.5), stop=stop_after_delay(seconds)
    )
    try:
        dropping(try_drop)
    except RetryError:
        raise SourceError(
            f"replication slot {slot} was not dropped: after {seconds:g} s something still reads it",
            hint=f"SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{slot}'; end that reader",
        ) from None
