"""`aegis intake` (also `python -m intake`): how rows reach PostgreSQL, and how long they stay."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from intake.results import tell_lines, with_bar
from processor.commands import stop_on_signals
from processor.database import engine_of
from processor.output import out, print_json
from processor.settings import PostgresSettings, read_block

if TYPE_CHECKING:
    from intake.retention import Outcome


class Table(StrEnum):
    """What can be imported; nodes of the taxonomy have a command of their own."""

    BUSINESS_RULES = "business_rules"
    DOC_TAXONOMY = "doc_taxonomy"
    DOCUMENTS = "documents"
    POLICIES = "policies"
    SEARCH_QUERIES = "search_queries"
    SEARCH_RESPONSES = "search_responses"
    USER_FEEDBACK = "user_feedback"
    USERS = "users"


app = typer.Typer(
    help="Bring rows into PostgreSQL, and remove what is too old.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def intake() -> None:
    """Bring rows into PostgreSQL, and remove what is too old."""


@app.command()
def retention(
    days: Annotated[
        int, typer.Option("--days", min=1, max=36_500, help="How long search history is kept.")
    ] = 90,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, max=100_000, help="Rows of a table in a transaction.")
    ] = 1000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Remove questions that are older than so many days, with their answers and feedback.

    SIGTERM ends it after the batch at hand with code 4; the same command goes on from there.

    Example: aegis intake retention --days 90 --dry-run
    """
    from intake.retention import Retention

    stop = Event()
    stop_on_signals(lambda _: stop.set())
    with engine_of(read_block(PostgresSettings).url()) as engine, engine.connect() as connection:
        work = Retention(connection, days, batch_size, stop)
        outcome = work.count() if dry_run else with_bar("removing questions", work.run)
    if as_json:
        print_json(outcome.as_json())
    else:
        _tell(outcome)


@app.command()
def ocr(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Images, one a line (JSON).")],
    batch_id: Annotated[
        str | None, typer.Option("--batch-id", help="Name of the batch; the file's when not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the images that an OCR engine has read: what is good is kept, what is not is recorded.

    A batch comes whole or not at all, and a second time changes nothing. SIGTERM ends it with code 4.

    Example: aegis intake ocr images.jsonl --batch-id 2025-06-01
    """
    from intake.ocr import OcrBatch

    name = batch_id or file.name
    if not 1 <= len(name) <= 255:
        raise typer.BadParameter("a batch's name has 1 to 255 characters", param_hint="--batch-id")
    stop = Event()
    stop_on_signals(lambda _: stop.set())
    with engine_of(read_block(PostgresSettings).url()) as engine:
        batch = with_bar("writing images", OcrBatch(engine, name, file, stop).run)
    if as_json:
        print_json(asdict(batch))
        return
    already = "was written before: " if batch.repeated else ""
    out.print(
        f"batch {name}: {already}{batch.total:,} images, {batch.completed:,} kept, {batch.failed:,} failed",
        highlight=False,
        markup=False,
    )


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Rows, one a line (JSON).")],
    table: Annotated[Table, typer.Option("--table", help="Where these rows belong.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Add the rows of a file to a table. A second time changes nothing.

    Bad lines are recorded in intake_letters and end the command with code 3, the others are kept. SIGTERM
    ends it after the chunk at hand with code 4; the same command goes on from there.

    Example: aegis intake import policies.jsonl --table policies
    """
    from intake.importing import RowImport
    from intake.rows import table_of

    stop = Event()
    stop_on_signals(lambda _: stop.set())
    with engine_of(read_block(PostgresSettings).url()) as engine:
        outcome = with_bar("importing rows", RowImport(engine, table_of(table.value), file, stop).run)
    tell_lines(outcome, table.value, as_json=as_json)


def _tell(outcome: Outcome) -> None:
    removed = outcome.removed
    would = "would be " if outcome.dry_run else ""
    out.print(
        f"older than {outcome.before:%Y-%m-%d %H:%M:%S%z}: {removed.search_queries:,} questions, "
        f"{removed.search_responses:,} answers, {removed.user_feedback:,} of feedback {would}removed",
        highlight=False,
    )
    if outcome.left and not outcome.dry_run:
        out.print(f"{outcome.left:,} are in use and left for the next run", highlight=False)
