"""`aegis connector apply | status | pause | resume | restart | delete`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from ops.output import err, out, print_json
from processor.errors import ConfigurationError, SourceError
from processor.settings import Settings, load_settings

if TYPE_CHECKING:
    from ops.connector.client import Connect, Status

NAME = "aegis-postgres-connector"
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
    from ops.connector.topics import ensure_topics
    from ops.database import connect as connect_database

    settings = load_settings()
    with connect_database(settings.postgres.url()) as connection:
        check_source(connection)
    relax_registry(settings.registry)
    made = ensure_topics(settings.kafka)
    out.print(f"topics: {len(made)} created" if made else "topics: all there", highlight=False)
    with _connect(settings) as connect:
        changed = connect.put_config(NAME, load(NAME, placeholders(settings)))
        status = connect.status(NAME)
        if not changed and status is not None and status.failed:
            connect.restart(NAME, only_failed=True)
        wait_running(connect, settings.connect.timeout_seconds)
    out.print(f"connector {NAME}: RUNNING ({'applied' if changed else 'unchanged'})", highlight=False)
    if wait_snapshot:
        _wait_streamed(settings, timeout)


def wait_running(connect: Connect, seconds: float) -> Status:
    """Wait until connector and task run.

    Raises:
        SourceError: the task failed, with its causes and the cure; or it did not run in time.
    """

    def unsettled(status: Status | None) -> bool:
        return status is None or not (status.running or status.failed)

    patiently = Retrying(
        retry=retry_if_result(unsettled), wait=wait_fixed(0.3), stop=stop_after_delay(seconds)
    )
    try:
        status = patiently(connect.status, NAME)
    except RetryError as error:
        raise SourceError(
            f"connector {NAME} does not run after {seconds:g} s: {error.last_attempt.result()}",
            hint="aegis connector status; aegis stack logs connect",
        ) from None
    assert status is not None
    if status.failed:
        raise explain_failure(status)
    return status


def explain_failure(status: Status) -> SourceError:
    """A failed task as what happened, why and what to run."""
    from ops.connector.cures import causes, find_cure

    cure = find_cure(status.trace)
    why = "\n  ".join(causes(status.trace))
    summary = cure.cause if cure else "not one of the known causes"
    return SourceError(
        f"connector {NAME} failed: {summary}\n  {why}",
        hint=cure.next if cure else "aegis stack logs connect; then aegis connector restart --only-failed",
    )


def _wait_streamed(settings: Settings, timeout: float) -> None:
    from ops.connector.definition import SLOT
    from ops.database import engine_of
    from sql.positions import mark, wait_streamed

    with engine_of(settings.postgres.url()) as engine, err.status("waiting for the snapshot to reach Kafka"):
        try:
            wait_streamed(engine, SLOT, mark(engine), timeout)
        except TimeoutError as error:
            raise SourceError(str(error), hint="aegis connector status") from error
    out.print("everything committed until now is in Kafka", highlight=False)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show connector, task and replication slot. Exit 0 when all run, else 1.

    Example: aegis connector status --json
    """
    from ops.connector.definition import SLOT
    from ops.database import connect as connect_database
    from sql.positions import format_lsn, read_slot

    settings = load_settings()
    with _connect(settings) as connect:
        found = connect.status(NAME)
    with connect_database(settings.postgres.url()) as connection:
        slot = read_slot(connection, SLOT)
    if as_json:
        shown = {"state": found.connector, "tasks": list(found.tasks)} if found else None
        print_json({"connector": shown, "slot": asdict(slot) if slot else None})
    else:
        tasks = ", ".join(found.tasks) if found else ""
        out.print(f"connector {NAME}: {found.connector if found else 'not registered'}", highlight=False)
        out.print(f"tasks: {tasks or 'none'}", highlight=False)
        if slot:
            at = format_lsn(slot.confirmed_flush_lsn or 0)
            out.print(
                f"slot {slot.name}: {'active' if slot.active else 'inactive'}, log {slot.wal_status}, "
                f"confirmed to {at}, {slot.lag_bytes or 0:,} bytes behind",
                highlight=False,
            )
        else:
            out.print(f"slot {SLOT}: does not exist", highlight=False)
    if found is None:
        raise SourceError(f"connector {NAME} is not registered", hint="aegis connector apply")
    if found.failed:
        raise explain_failure(found)
    if not (found.running and slot and slot.active):
        raise typer.Exit(code=1)


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
    settings = load_settings()
    with _connect(settings) as connect:
        connect.resume(NAME)
        wait_running(connect, settings.connect.timeout_seconds)
    out.print("running", highlight=False)


@app.command()
def restart(
    only_failed: Annotated[bool, typer.Option("--only-failed", help="Leave what runs alone.")] = False,
) -> None:
    """Restart connector and task, for example after a failure was mended.

    Example: aegis connector restart --only-failed
    """
    settings = load_settings()
    with _connect(settings) as connect:
        connect.restart(NAME, only_failed)
        wait_running(connect, settings.connect.timeout_seconds)
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
    if slot and not offsets:
        raise ConfigurationError("a position without its slot is useless", hint="add --offsets")
    if not yes:
        typer.confirm(f"Remove connector {NAME}?", abort=True)
    settings = load_settings()
    with _connect(settings) as connect:
        if offsets and connect.config(NAME) is not None:
            connect.stop(NAME)
            _wait_for(connect, "STOPPED", settings.connect.timeout_seconds)
            connect.delete_offsets(NAME)
        connect.delete(NAME)
    if slot:
        _drop_slot(settings)
    out.print("removed", highlight=False)


def _wait_for(connect: Connect, state: str, seconds: float) -> None:
    def other(status: Status | None) -> bool:
        return status is None or status.connector != state or bool(status.tasks)

    Retrying(retry=retry_if_result(other), wait=wait_fixed(0.3), stop=stop_after_delay(seconds))(
        connect.status, NAME
    )


def _drop_slot(settings: Settings) -> None:
    import sqlalchemy as sa

    from ops.connector.definition import SLOT
    from ops.database import engine_of
    from sql.positions import read_slot
    from sql.queries import QUERIES

    def try_drop() -> bool:
        with engine_of(settings.postgres.url()) as engine, engine.begin() as connection:
            connection.execute(sa.text(QUERIES["drop_slot"]), {"slot": SLOT})
            return read_slot(connection, SLOT) is None

    # the sender of a connector that just ended may hold the slot a moment longer
    Retrying(retry=retry_if_result(lambda gone: not gone), wait=wait_fixed(0.5), stop=stop_after_delay(30))(
        try_drop
    )
