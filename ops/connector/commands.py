"""`aegis connector apply | status | pause | resume | restart | delete`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ops.connector.definition import NAME, SLOT
from ops.output import err, out, print_json
from processor.errors import ConfigurationError, SourceError
from processor.settings import Settings, load_settings

if TYPE_CHECKING:
    from ops.connector.client import Connect, Status
    from sql.positions import Slot

app = typer.Typer(help="The Debezium connector that reads PostgreSQL's log.", no_args_is_help=True)
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@contextmanager
def _connect(settings: Settings) -> Iterator[Connect]:
    from ops.connector.client import Connect

    connect = Connect(settings.connect)
    try:
        yield connect
    finally:
        connect.close()


@app.command()
def apply(
    wait_snapshot: Annotated[
        bool, typer.Option(help="Wait until everything committed before now is in Kafka.")
    ] = True,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the snapshot.", min=1)] = 600,
) -> None:
    """Create topics, register the connector, wait until it runs. Changes nothing that is right already.

    Example: aegis connector apply
    """
    from ops.connector.checks import check_source, relax_registry
    from ops.connector.definition import load, placeholders
    from ops.connector.lifecycle import configure, wake
    from ops.connector.topics import ensure_topics
    from ops.connector.wait import wait_running
    from ops.database import connect as connect_database

    settings = load_settings()
    seconds = settings.connect.timeout_seconds
    with connect_database(settings.postgres.url()) as connection:
        check_source(connection)
    relax_registry(settings.registry)
    made = ensure_topics(settings.kafka)
    out.print(f"topics: {len(made)} created" if made else "topics: all there", highlight=False)
    with _connect(settings) as connect:
        changed = configure(connect, NAME, load(NAME, placeholders(settings)), seconds)
        if not changed:
            wake(connect, NAME, seconds)
        wait_running(connect, NAME, seconds)
        out.print(f"connector {NAME}: RUNNING ({'applied' if changed else 'unchanged'})", highlight=False)
        if wait_snapshot:
            _wait_caught_up(settings, connect, timeout)


def _wait_caught_up(settings: Settings, connect: Connect, seconds: float) -> None:
    from ops.connector.wait import wait_caught_up
    from ops.database import engine_of

    with engine_of(settings.postgres.url()) as engine, err.status("waiting for the snapshot to reach Kafka"):
        wait_caught_up(connect, NAME, engine, SLOT, seconds)
    out.print("everything committed until now is in Kafka", highlight=False)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show connector, task and replication slot. Exit 0 when all run, else 1.

    Example: aegis connector status --json
    """
    from ops.database import connect as connect_database
    from sql.positions import read_slot

    settings = load_settings()
    with _connect(settings) as connect:
        found = connect.status(NAME)
    with connect_database(settings.postgres.url()) as connection:
        slot = read_slot(connection, SLOT)
    if as_json:
        shown = {"state": found.connector, "tasks": list(found.tasks)} if found else None
        print_json({"connector": shown, "slot": asdict(slot) if slot else None})
    else:
        _print(found, slot)
    _judge(found, slot)


def _print(found: Status | None, slot: Slot | None) -> None:
    from sql.positions import format_lsn

    tasks = ", ".join(found.tasks) if found else ""
    out.print(f"connector {NAME}: {found.connector if found else 'not registered'}", highlight=False)
    out.print(f"tasks: {tasks or 'none'}", highlight=False)
    if slot is None:
        out.print(f"slot {SLOT}: does not exist", highlight=False)
        return
    at = format_lsn(slot.confirmed_flush_lsn or 0)
    out.print(
        f"slot {slot.name}: {'active' if slot.active else 'inactive'}, log {slot.wal_status}, "
        f"confirmed to {at}, {slot.lag_bytes or 0:,} bytes behind",
        highlight=False,
    )


def _judge(found: Status | None, slot: Slot | None) -> None:
    from ops.connector.wait import RETRIED, explain_failure

    if found is None:
        raise SourceError(f"connector {NAME} is not registered", hint="aegis connector apply")
    if found.failed:
        raise explain_failure(NAME, found)
    if not found.running:
        raise SourceError(f"connector {NAME} does not run", hint="aegis connector resume")
    if not (slot and slot.active):
        raise SourceError(
            f"connector {NAME} runs, but does not read slot {SLOT}: it takes its snapshot, or tries again "
            "after an error",
            hint=RETRIED,
        )


@app.command()
def pause() -> None:
    """Stop reading; the slot keeps the log meanwhile, so do not forget it.

    Example: aegis connector pause
    """
    with _connect(load_settings()) as connect:
        connect.pause(NAME)
    out.print("paused", highlight=False)


@app.command()
def resume() -> None:
    """Go on after a pause.

    Example: aegis connector resume
    """
    from ops.connector.wait import wait_running

    settings = load_settings()
    with _connect(settings) as connect:
        connect.resume(NAME)
        wait_running(connect, NAME, settings.connect.timeout_seconds)
    out.print("running", highlight=False)


@app.command()
def restart(
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Leave what runs alone.")] = False,
) -> None:
    """Restart connector and task, for example after a failure was mended.

    Example: aegis connector restart --only-failed
    """
    from ops.connector.lifecycle import restart as start_anew
    from ops.connector.wait import wait_running

    settings = load_settings()
    seconds = settings.connect.timeout_seconds
    with _connect(settings) as connect:
        found = connect.status(NAME)
        if found is None or found.failed or not only_failed:
            start_anew(connect, NAME, seconds)
        wait_running(connect, NAME, seconds)
    out.print("running", highlight=False)


@app.command()
def delete(
    offsets: Annotated[bool, typer.Option("--offsets", help="Forget its position too.")] = False,
    slot: Annotated[bool, typer.Option("--slot", help="Drop the replication slot too.")] = False,
    yes: Yes = False,
) -> None:
    """Remove the connector. With both options the next `apply` takes a new snapshot.

    Example: aegis connector delete --offsets --slot --yes
    """
    from ops.connector.lifecycle import drop_slot, forget_offsets

    if slot and not offsets:
        raise ConfigurationError("a position without its slot is useless", hint="add --offsets")
    if not yes:
        typer.confirm(f"Remove connector {NAME}?", abort=True)
    settings = load_settings()
    with _connect(settings) as connect:
        known = connect.config(NAME) is not None
        if offsets and known:
            forget_offsets(connect, NAME, settings.connect.timeout_seconds)
        connect.delete(NAME)
    if slot:
        drop_slot(settings.postgres, SLOT)
    out.print("removed" if known else "there was no such connector", highlight=False)
