"""`aegis connector apply | status | pause | resume | restart | delete`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from processor.errors import ConfigurationError
from processor.output import err, out, print_json
from processor.settings import Settings, load_settings
from sql.capture import CONNECTOR, SLOT

if TYPE_CHECKING:
    from ops.connector.client import Connect

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
    from ops.connector.topics import ensure_topics, written_topics
    from ops.connector.wait import wait_running
    from processor.database import connect as connect_database

    settings = load_settings()
    seconds = settings.connect.timeout_seconds
    with connect_database(settings.postgres.url()) as connection:
        check_source(connection, settings.postgres.debezium_user)
    relax_registry(settings.registry, written_topics(settings.kafka))
    out.print(f"topics: {ensure_topics(settings.kafka)}", highlight=False)
    with _connect(settings) as connect:
        changed = configure(connect, CONNECTOR, load(CONNECTOR, placeholders(settings)), seconds)
        if not changed:
            wake(connect, CONNECTOR, seconds)
        wait_running(connect, CONNECTOR, seconds)
        out.print(
            f"connector {CONNECTOR}: RUNNING ({'applied' if changed else 'unchanged'})", highlight=False
        )
        if wait_snapshot:
            _wait_caught_up(settings, connect, timeout)


def _wait_caught_up(settings: Settings, connect: Connect, seconds: float) -> None:
    from ops.connector.progress import RecordCount
    from ops.connector.wait import wait_caught_up
    from processor.database import engine_of

    written = RecordCount(settings.kafka)
    with engine_of(settings.postgres.url()) as engine, err.status("waiting for the snapshot") as line:

        def tell() -> None:
            count = written.since_start()
            if count is not None:
                line.update(f"waiting for the snapshot: {count:,} records are in Kafka")

        wait_caught_up(connect, CONNECTOR, engine, SLOT, seconds, tell)
    out.print("everything committed until now is in Kafka", highlight=False)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show connector, task, replication slot and topics. Exit 0 when all is well.

    Example: aegis connector status --json
    """
    from ops.connector.state import fault, read_state

    settings = load_settings()
    with _connect(settings) as connect:
        state = read_state(settings, connect)
    if as_json:
        print_json(state.as_json())
    else:
        for line in state.lines():
            out.print(line, highlight=False)
    if error := fault(state):
        raise error


@app.command()
def pause() -> None:
    """Stop reading; the slot keeps the log meanwhile, so do not forget it.

    Example: aegis connector pause
    """
    with _connect(load_settings()) as connect:
        connect.pause(CONNECTOR)
    out.print("paused", highlight=False)


@app.command()
def resume() -> None:
    """Go on after a pause.

    Example: aegis connector resume
    """
    from ops.connector.wait import wait_running

    settings = load_settings()
    with _connect(settings) as connect:
        connect.resume(CONNECTOR)
        wait_running(connect, CONNECTOR, settings.connect.timeout_seconds)
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
        found = connect.status(CONNECTOR)
        if found is None or found.failed or not only_failed:
            start_anew(connect, CONNECTOR, seconds)
        wait_running(connect, CONNECTOR, seconds)
    out.print("running", highlight=False)


@app.command()
def delete(
    offsets: Annotated[bool, typer.Option("--offsets", help="Forget its position too.")] = False,
    slot: Annotated[bool, typer.Option("--slot", help="Drop the replication slot too.")] = False,
    topics: Annotated[bool, typer.Option("--topics", help="Delete the tables' topics too.")] = False,
    yes: Yes = False,
) -> None:
    """Remove the connector. With --offsets and --slot the next `apply` takes a new snapshot.

    With --topics the snapshot goes into new topics, which the processor reads from their beginning: the cure
    when what it had not read has expired. Stop the processor before. Dead letters stay.

    Example: aegis connector delete --offsets --slot --topics --yes
    """
    from ops.connector.lifecycle import drop_slot, forget_offsets
    from ops.connector.topics import delete_topics

    if slot and not offsets:
        raise ConfigurationError("a position without its slot is useless", hint="add --offsets")
    if not yes:
        typer.confirm(f"Remove connector {CONNECTOR}?", abort=True)
    settings = load_settings()
    with _connect(settings) as connect:
        known = connect.config(CONNECTOR) is not None
        if offsets and known:
            forget_offsets(connect, CONNECTOR, settings.connect.timeout_seconds)
        connect.delete(CONNECTOR)
    if slot:
        drop_slot(settings.postgres, SLOT)
    if topics:
        out.print(f"topics: {len(delete_topics(settings.kafka))} deleted", highlight=False)
    out.print("removed" if known else "there was no such connector", highlight=False)
