"""What the commands that read a file of records tell: a bar while they work, and what became of the lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from processor.output import err, out, print_json

if TYPE_CHECKING:
    from intake.importing import Outcome

R = TypeVar("R")


def with_bar(what: str, work: Callable[[Callable[[int, int], None]], R]) -> R:
    """Do `work`, which tells how much is done, and of how much."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=None)
        return work(lambda done, total: bar.update(task, completed=done, total=total))


def tell_lines(outcome: Outcome, what: str, *, as_json: bool, would: bool = False) -> None:
    """Print what became of the lines.

    Raises:
        SomeBad: some are bad; `would`: none was recorded.
    """
    from intake.errors import SomeBad

    if as_json:
        print_json(outcome.as_json())
    else:
        counts = f"{outcome.added:,} added, {outcome.present:,} already there, {outcome.bad:,} bad"
        out.print(f"{'would be: ' if would else ''}{what}: {counts}", highlight=False, markup=False)
        for each in outcome.problems:
            where = f"  line {each['line']}: {each['code']} {each['field'] or 'line'}: {each['reason']}"
            err.print(where, highlight=False, markup=False)
    if outcome.bad:
        kept = "none was recorded, this was a dry run" if would else "they are in intake_letters"
        raise SomeBad(
            f"{outcome.bad:,} lines are bad; {kept}",
            hint="correct them and run the same command again: what is there is not added a second time",
        )
