"""`aegis dlq list | show | stats | replay`."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from processor.commands import stop_on_signals
from processor.output import err, print_json
from processor.settings import Settings, load_settings

if TYPE_CHECKING:
    from ops.dlq.replay import Options, Report
    from ops.dlq.selection import Selection
    from processor.dead_letters import DeadLetter
    from processor.letter_topics import LetterTopics

app = typer.Typer(
    help="Dead letters: what could not be applied, why, and having it tried again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
TableOption = Annotated[str | None, typer.Option("--table", help="Only of this table.")]
StageOption = Annotated[str | None, typer.Option("--stage", help="Only of decode, project or apply.")]
CodeOption = Annotated[str | None, typer.Option("--code", help="Only with this code, as DP_2001.")]
StoreOption = Annotated[str | None, typer.Option("--store", help="Only what this store refused.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Only what first failed since then: 30m, 2h, 3d, or ISO (UTC).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_letters(
    table: TableOption = None,
    stage: StageOption = None,
    store: StoreOption = None,
    code: CodeOption = None,
    since: SinceOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were replayed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the open letters, the newest last. A record that failed is listed once.

    Example: aegis dlq list --table policies --since 2h
    """
    from ops.dlq.show import letter_json
    from ops.dlq.views import print_letters

    selection = _selection(stage, code, store, since)
    total = 0

    def taken() -> Iterator[DeadLetter]:
        nonlocal total
        for letter in _letters(topics, everything):
            if selection.takes(letter):
                total += 1
                yield letter

    with _topics(load_settings(), table) as topics:
        newest = heapq.nlargest(limit, taken(), key=lambda letter: (letter.written_at, letter.offset))[::-1]
    if as_json:
        print_json({"total": total, "letters": [letter_json(letter) for letter in newest]})
    else:
        print_letters(newest, total, _now_ms())


@app.command()
def show(
    place: Annotated[str, typer.Argument(help="topic/partition/offset, as list prints it.")],
    max_replays: Annotated[int, typer.Option("--max-replays", min=1, help="As for replay.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Show one letter: its record before and after, the reason, each store, and what a replay would do now.

    Example: aegis dlq show dlq.aegis.public.policies/3/17
    """
    from ops.dlq.show import examine
    from ops.dlq.views import print_examined

    settings = load_settings()
    with _topics(settings, None) as topics:
        found = examine(settings, topics, place, max_replays)
        projection = topics.projections[place.split("/")[0]]
    if as_json:
        print_json(found.as_json())
    else:
        print_examined(projection, found, _now_ms())


@app.command()
def stats(table: TableOption = None, as_json: JsonOption = False) -> None:
    """Count the letters by table, stage, code, store and age.

    Example: aegis dlq stats --table policies
    """
    from ops.dlq.stats import Stats
    from ops.dlq.views import print_stats

    found, now = Stats(), _now_ms()
    with _topics(load_settings(), table) as topics:
        for span in topics.spans():
            found.add(topics.replayed_letters(span), False, now)
            found.add(topics.open_letters(span), True, now)
    if as_json:
        print_json(found.as_json())
    else:
        print_stats(found)


@app.command()
def replay(
    table: TableOption = None,
    stage: StageOption = None,
    store: StoreOption = None,
    since: SinceOption = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many rows.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", min=0.01, help="Rows a second.")] = None,
    max_replays: Annotated[
        int, typer.Option("--max-replays", min=1, help="Rows replayed more often are given up.")
    ] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing, show what would be.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Have the rows of open letters read again from PostgreSQL, and every store brought to them.

    Only sends commands, which the running processor obeys; what fails again comes back as a new letter.
    A filter takes a row when it takes one of its letters. SIGTERM ends it after the commands at hand.

    Example: aegis dlq replay --table policies --limit 20 --dry-run
    """
    from ops.dlq.replay import Options
    from ops.dlq.views import print_report

    selection = _selection(stage, None, store, since)
    stopped = _Stopped()
    report = _replay(load_settings(), table, Options(selection, limit, rate, max_replays, dry_run), stopped)
    if as_json:
        print_json(report.as_json(dry_run))
    else:
        print_report(report, dry_run)
    if stopped.number:
        err.print(f"stopped: {report.left:,} letters left", highlight=False)
        raise typer.Exit(code=128 + stopped.number)


class _Stopped:
    """The signal that asked us to stop, 0 for none."""

    number = 0

    def stop(self, number: int) -> None:
        self.number = number

    def __call__(self) -> bool:
        return self.number != 0


def _replay(settings: Settings, table: str | None, options: Options, stopped: _Stopped) -> Report:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ops.dlq.replay import Replay
    from processor.delivery import Delivery

    columns = (TextColumn("letters"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        _topics(settings, table) as topics,
        Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar,
    ):
        spans = topics.spans()
        task = bar.add_task("", total=sum(span.open for span in spans))
        stop_on_signals(stopped.stop)
        delivery = Delivery(settings.kafka)
        return Replay(topics, delivery, options, stopped, lambda n: bar.advance(task, n)).run(spans)


@contextmanager
def _topics(settings: Settings, table: str | None) -> Iterator[LetterTopics]:
    """The letters of one table, or of all."""
    from ops.trace import find_projection
    from processor import tables
    from processor.letter_topics import LetterTopics

    wanted = tables.PROJECTIONS if table is None else (find_projection(table),)
    topics = LetterTopics(settings.kafka, tables.by_topic(settings.kafka.topic_prefix, wanted))
    try:
        yield topics
    finally:
        topics.close()


def _letters(topics: LetterTopics, everything: bool) -> Iterator[DeadLetter]:
    for span in topics.spans():
        if everything:
            yield from topics.replayed_letters(span)
        yield from topics.open_letters(span)


def _selection(stage: str | None, code: str | None, store: str | None, since: str | None) -> Selection:
    from ops.dlq.selection import select

    return select(stage, code, store, since, datetime.now(UTC))


def _now_ms() -> int:
    return int(time.time() * 1000)
