"""`aegis keys`: keys of encrypted fields - a new one, what stands under which, and their rotation."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Annotated, Final

import typer

from intake.results import with_bar
from processor.commands import stop_on_signals
from processor.database import engine_of
from processor.output import err, out, print_json
from processor.settings import PostgresSettings, read_block

if TYPE_CHECKING:
    from ops.keys.scan import Survey, Unreadable

MAX_SHOWN: Final = 20

app = typer.Typer(help="Keys of encrypted fields.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def generate(
    key_id: Annotated[
        str | None, typer.Option("--id", help="The key's id; the present second when not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a new key and print it; it is kept nowhere.

    Example: aegis keys generate --id 2026-01
    """
    from sql.sealed import KEY_BYTES, KEY_ID

    name = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ") if key_id is None else key_id
    if not KEY_ID.fullmatch(name):
        raise typer.BadParameter("1 to 32 letters, digits, '.', '_' or '-'", param_hint="--id")
    key = base64.b64encode(os.urandom(KEY_BYTES)).decode()
    if as_json:
        print_json({"id": name, "key": key})
        return
    out.print(f"{name}:{key}", highlight=False, markup=False)
    err.print(
        f"add it to FIELD_KEYS (or the file that FIELD_KEYS_FILE names) of every service, beside the keys "
        f"that are there;\nthen FIELD_KEYS_CURRENT={name} everywhere; then: aegis keys rotate",
        highlight=False,
        markup=False,
    )


@app.command()
def status(as_json: Json = False) -> None:
    """Say how many values stand under which key, and which cannot be opened. Exit 1 when some cannot.

    Example: aegis keys status --json
    """
    found = _survey()
    if as_json:
        print_json(found.as_json())
    else:
        for name, count in found.as_json()["keys"].items():
            _say(f"{name}: {count:,} values{_marks(found, name)}")
        _tell(found.unreadable)
    raise typer.Exit(1 if found.unreadable.count else 0)


@app.command()
def rotate(
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, max=10_000, help="Rows in a transaction.")
    ] = 500,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sealed anew.")] = False,
    as_json: Json = False,
) -> None:
    """Seal everything anew that does not stand under the current key. Exit 1 when something is left.

    Services may read and write meanwhile, as long as they have both keys. SIGTERM ends it after the batch at
    hand with code 4; the same command goes on from there.

    Example: aegis keys rotate --dry-run
    """
    from intake.keys import load_sealer
    from ops.keys.rotation import Rotation

    if dry_run:
        found = _survey()
        if as_json:
            print_json(found.as_json())
        else:
            _say(f"{found.outdated:,} values would be sealed anew under key {found.current}")
            _tell(found.unreadable)
        return
    sealer, stop = load_sealer(), _stop()
    with engine_of(read_block(PostgresSettings).url()) as engine, engine.connect() as connection:
        outcome = with_bar("sealing anew", Rotation(connection, sealer, batch_size, stop).run)
    if as_json:
        print_json(outcome.as_json())
    else:
        _say(f"{outcome.resealed:,} values sealed anew under key {outcome.current}")
        if outcome.left:
            _say(f"{outcome.left:,} are in use or were written meanwhile under another key: run it again")
        _tell(outcome.unreadable)
    raise typer.Exit(0 if outcome.done else 1)


def _survey() -> Survey:
    from intake.keys import load_sealer
    from ops.keys.scan import survey

    sealer, stop = load_sealer(), _stop()
    with engine_of(read_block(PostgresSettings).url()) as engine, engine.connect() as connection:
        return with_bar("opening values", lambda progress: survey(connection, sealer, stop, progress))


def _stop() -> Event:
    stop = Event()
    stop_on_signals(lambda _: stop.set())
    return stop


def _marks(found: Survey, name: str) -> str:
    marks = ["current"] if name == found.current else []
    marks += [] if name in found.configured else ["not configured"]
    return f" ({', '.join(marks)})" if marks else ""


def _tell(unreadable: Unreadable) -> None:
    if not unreadable.count:
        return
    _say(f"{unreadable.count:,} values cannot be opened:")
    for each in unreadable.named[:MAX_SHOWN]:
        _say(f"  users {each['key']} {each['column']}: {each['reason']}")
    if unreadable.count > MAX_SHOWN:
        _say(f"  ... and {unreadable.count - MAX_SHOWN:,} more (--json)")


def _say(text: str) -> None:
    out.print(text, highlight=False, markup=False)
