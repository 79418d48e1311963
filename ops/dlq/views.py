"""How letters are shown to a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from ops.dlq.replay import Report
from ops.dlq.show import OUTCOMES, Examined
from ops.dlq.stats import Stats
from processor.dead_letters import DeadLetter
from processor.output import out
from processor.rows import (
    DATE_INFINITY,
    TIMESTAMP_INFINITY,
    UNAVAILABLE,
    Kind,
    Row,
    format_date,
    format_timestamp,
)
from processor.tables.base import Projection

WIDE: Final = 130
"""Columns from which a letter with its reason fits into one line of a table."""
BAR: Final = 20
FEW: Final = 20
"""Names that are shown of many; --json has all."""
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000


def plain(text: str) -> str:
    """Without what a terminal would obey: values come from outside."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def age(since_ms: int, now_ms: int) -> str:
    """How long ago, in its largest unit."""
    passed = max(now_ms - since_ms, 0)
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if passed >= 2 * size:
            return f"{passed // size} {unit}"
    return f"{passed // 1000} s"


def times(count: int) -> str:
    """once, or how many times."""
    return "once" if count == 1 else f"{count} times"


def print_letters(letters: Sequence[DeadLetter], total: int, now_ms: int) -> None:
    """One letter a line where the terminal is wide enough; else two, the first of them to be copied from."""
    if not letters:
        out.print("no dead letters")
        return
    if out.width >= WIDE:
        out.print(_wide(letters, now_ms))
    else:
        for letter in letters:
            _print_narrow(letter, now_ms)
    if total > len(letters):
        out.print(f"the newest {len(letters):,} of {total:,}; more: --limit", highlight=False)


def _wide(letters: Sequence[DeadLetter], now_ms: int) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    place = max(len(letter.place) for letter in letters)
    for heading, width in (("place", place), ("table", 0), ("key", 16)):
        grid.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=width or None)
    for heading in ("stage", "code", "store", "tried", "failed"):
        grid.add_column(heading, no_wrap=True)
    grid.add_column("reason", no_wrap=True, overflow="ellipsis", ratio=1)
    for letter in letters:
        key = plain(letter.key)[:32]
        cells = (letter.place, letter.table, key, letter.stage, letter.code, letter.store, str(letter.tries))
        grid.add_row(*map(Text, (*cells, f"{age(letter.first_failed_at, now_ms)} ago", _reason(letter))))
    return grid


def _print_narrow(letter: DeadLetter, now_ms: int) -> None:
    told = " ".join(filter(None, (letter.stage, letter.code, letter.store)))
    rest = f"tried {times(letter.tries)}, first failed {age(letter.first_failed_at, now_ms)} ago"
    _line(f"{letter.place}  {letter.table} {plain(letter.key)}", style="bold")
    _line(f"  {told}, {rest}")
    _cut(f"  {_reason(letter)}")


def _reason(letter: DeadLetter) -> str:
    """Without the row's name, which stands beside it."""
    return plain(letter.reason.removeprefix(f"{letter.table} {letter.key}: "))


def print_examined(projection: Projection, found: Examined, now_ms: int) -> None:
    """A letter, its record, what the stores made of it, what a replay would do."""
    letter = found.letter
    _line(f"{letter.table} {plain(letter.key) or '(no key)'}", style="bold")
    _line(f"letter       {letter.place}")
    _line(f"record       {letter.failed}")
    _line(f"failed       {letter.stage} {letter.code} {letter.exception}".rstrip())
    tried = f"tried {times(letter.tries)}, first {age(letter.first_failed_at, now_ms)} ago"
    _line(f"             {tried}, by {letter.group or '?'}")
    if letter.chain:
        _line(f"first letter {letter.chain}")
    _line(f"reason       {plain(letter.reason)}")
    for number, (store, outcome) in enumerate(letter.outcomes.items()):
        words = OUTCOMES.get(outcome, plain(outcome))
        _line(f"{'stores' if number == 0 else '':12} {plain(store)}: {words}")
    _print_record(projection, found)
    forecast = found.forecast
    _line(f"replay       would {forecast.would}: {plain(forecast.why)}")
    _line(f"             {times(forecast.times_left) if forecast.times_left else 'no times'} left")


def _print_record(projection: Projection, found: Examined) -> None:
    if found.change is not None:
        _line(f"operation    {found.change.op.name.lower()}")
        out.print(_images(projection, found.change.before, found.change.after))
    elif found.command is not None:
        shown = found.command.model_dump(mode="json", exclude_none=True)
        words = ", ".join(f"{name}={value}" for name, value in shown.items() if value not in ("", False))
        _line(f"command      {plain(words)}")
    else:
        size = len(found.value or b"")
        _line(f"not decoded  {plain(found.unread)}")
        _line(
            f"value        {size:,} bytes: {found.begins}{' ...' if size > len(found.begins) / 3 + 1 else ''}"
        )


def _images(projection: Projection, before: Row | None, after: Row | None) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    grid.add_column("", width=1)
    grid.add_column("column", no_wrap=True)
    for heading in ("before", "after"):
        grid.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
    for name, kind in projection.kinds.items():
        if name not in {**(before or {}), **(after or {})}:
            continue
        old, new = (_value(kind, image, name) for image in (before, after))
        changed = before is not None and after is not None and before.get(name) != after.get(name)
        style = "bold yellow" if changed else ""
        grid.add_row("*" if changed else "", name, Text(old, style=style), Text(new, style=style))
    return grid


def _value(kind: Kind, image: Row | None, name: str) -> str:
    """As people write it; rows hold dates and times as numbers."""
    if image is None or name not in image:
        return ""
    value = image[name]
    if value is None:
        return "NULL"
    if value is UNAVAILABLE:
        return "(did not travel)"
    if kind is Kind.DATE:
        return _finite(value, DATE_INFINITY) or format_date(value)
    if kind is Kind.TIMESTAMP:
        return _finite(value, TIMESTAMP_INFINITY) or format_timestamp(value)
    return plain(str(value))


def _finite(value: int, infinity: int) -> str:
    return {infinity: "infinity", -infinity: "-infinity"}.get(value, "")


def print_stats(stats: Stats) -> None:
    """Counts with small bars, open letters first."""
    total = stats.open + stats.replayed
    if not total:
        out.print("no dead letters")
        return
    out.print(f"{stats.open:,} open, {stats.replayed:,} replayed", style="bold", highlight=False)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "", "open", "", "replayed"):
        grid.add_column(heading, no_wrap=True, justify="right" if heading else "left")
    last = ""
    for dimension, value, still_open, replayed in stats.rows():
        bar = "█" * -(-BAR * still_open // total)
        label = dimension if dimension != last else ""
        grid.add_row(*map(Text, (label, plain(value), f"{still_open:,}", f"{bar:{BAR}}", f"{replayed:,}")))
        last = dimension
    out.print(grid)


def print_report(report: Report, dry_run: bool) -> None:
    """What a replay did, or would do."""
    for row in report.rows:
        letters = f"{row.letters} letters" if row.letters > 1 else "1 letter"
        _line(f"{row.table} {plain(row.key)}: {letters}, tried {times(row.tries)}, {row.place}")
    if dry_run:
        _line(f"{len(report.rows):,} rows ({report.letters:,} letters) would be read again; nothing was sent")
    else:
        _line(f"{report.sent:,} commands sent for {report.letters:,} letters", style="bold")
    if report.nameless:
        _line(f"{len(report.nameless):,} passed over, which name no row (aegis dlq list --all shows them):")
        _some(f"{letter.place}: {plain(letter.nameless)}" for letter in report.nameless)
    if report.given_up:
        _line(f"{len(report.given_up):,} rows given up, replayed too often:")
        _some(
            f"{row.table} {plain(row.key)}: tried {times(row.tries)}, {row.place}" for row in report.given_up
        )
        _line("next: mend the cause (aegis dlq show PLACE), then aegis dlq replay --max-replays 10")
    if report.left:
        _line(f"{report.left:,} letters left")
    if report.sent:
        _line("The running processor obeys (aegis process); aegis dlq list shows what comes back.")


def _some(lines: Iterator[str]) -> None:
    for number, line in enumerate(lines):
        if number == FEW:
            _line("  ... all of them: --json")
            return
        _line(f"  {line}")


def _cut(text: str) -> None:
    """What is too long for the terminal is cut."""
    out.print(Text(text), soft_wrap=False, no_wrap=True, overflow="ellipsis", highlight=False)


def _line(text: str, style: str | None = None) -> None:
    out.print(text, style=style, markup=False, highlight=False)
