"""`aegis reconcile` (also `python -m reconciler`): compare the stores with PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from typer.core import TyperCommand, TyperGroup

from processor.commands import stop_on_signals
from processor.errors import STORE_CODES, AegisError, ConfigurationError
from processor.output import err, out, print_json
from processor.output import report as print_error
from processor.settings import load_settings
from reconciler.errors import CannotVerify, Overlapping, StoppedEarly

if TYPE_CHECKING:
    from processor.tables.base import Projection
    from reconciler.report import Report

USAGE_ERROR: Final[type[Any]] = typer.BadParameter.__mro__[1]
"""The parent of all that can be wrong with a command line, which typer does not export."""
INTERNAL: Final = 11
OF_THE_CONTRACT: Final = frozenset(
    kind.exit_code for kind in (CannotVerify, StoppedEarly, Overlapping, ConfigurationError)
)


class Contract:
    """A wrong option is a wrong configuration: elsewhere that is 2, which means "drift, repaired" here."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """As the parent's."""
        with _usage():
            return super().make_context(*args, **kwargs)  # type: ignore[misc]

    def invoke(self, ctx: Any) -> Any:
        """As the parent's."""
        with _usage():
            return super().invoke(ctx)  # type: ignore[misc]


class ContractCommand(Contract, TyperCommand):
    """A command."""


class ContractGroup(Contract, TyperGroup):
    """The group of them."""


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except USAGE_ERROR as error:
        error.exit_code = ConfigurationError.exit_code
        raise


app = typer.Typer(
    cls=ContractGroup, help="Compare the stores with PostgreSQL, under live traffic.", no_args_is_help=True
)


@app.callback()
def reconcile() -> None:
    """Compare the stores with PostgreSQL, under live traffic."""


@app.command(cls=ContractCommand)
def check(
    tables: Annotated[str | None, typer.Option("--tables", help="Only these, separated by commas.")] = None,
    stores: Annotated[str | None, typer.Option("--stores", help="Only these, separated by commas.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Compare every field and vector, too.")] = False,
    deep_every: Annotated[
        int | None,
        typer.Option("--deep-every", min=1, help="The same of one key in N, another share each run."),
    ] = None,
    shard: Annotated[
        str | None, typer.Option("--shard", help="Only keys of share i of n, by hash: i/n, i from 0.")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option("--max-seconds", min=1, help="Stop after so long, to be continued.")
    ] = None,
    rows_per_second: Annotated[
        float | None, typer.Option("--rows-per-second", min=1, help="Read no faster, both sides together.")
    ] = None,
    fence_seconds: Annotated[
        float, typer.Option("--fence-seconds", min=1, help="How long the stores may lag behind.")
    ] = 60,
    max_suspects: Annotated[
        int, typer.Option("--max-suspects", min=1, help="Give up a table and store in which more differs.")
    ] = 100_000,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not continue a run that stopped early.")] = False,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write JSON to this file; - for the terminal.")
    ] = None,
) -> None:
    """Say of every table and store, with certainty, what is missing, orphaned, stale - or not verified.

    Nothing is stopped and nothing is changed. Exit 0 consistent, 1 drift, 3 cannot verify, 4 stopped early
    (the same command goes on), 5 another run is at work, 10 configuration, 11 internal error.

    Example: aegis reconcile check --deep-every 7 --json report.json
    """
    with _exit_codes():
        from processor.tables import PROJECTIONS
        from reconciler.check import Check, Request
        from reconciler.shard import Shard

        if as_json is not None:
            _try(as_json)
        settings = load_settings()
        request = Request(
            tables=_tables(tables),
            stores=_stores(stores),
            shard=Shard() if shard is None else Shard.parse(shard),
            deep_every=1 if deep else deep_every,
            max_seconds=max_seconds,
            rows_per_second=rows_per_second,
            fence_seconds=fence_seconds,
            max_suspects=max_suspects,
            fresh=fresh,
        )
    stop = Event()
    stop_on_signals(lambda _: stop.set())
    with _exit_codes(), Bar() as bar, closing(Check(settings, request, PROJECTIONS, stop, bar)) as work:
        report = work.run()
    with _exit_codes():
        _tell(report, as_json)
    if report.exit_code:
        raise typer.Exit(code=report.exit_code)


class Bar:
    """A line with progress and the time that is left, on a terminal."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._task: TaskID | None = None

    def begin(self, table: str, rows: int | None) -> None:
        """The next table."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(table, total=rows)

    def seen(self, rows: int) -> None:
        """So many rows more."""
        if self._task is not None:
            self._bar.advance(self._task, rows)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Those of the contract: what ends a run for another reason than these has verified nothing."""
    try:
        yield
    except AegisError as error:
        code = print_error(error)
        raise typer.Exit(code=code if code in OF_THE_CONTRACT else CannotVerify.exit_code) from error
    except Exception:
        err.print_exception()
        raise typer.Exit(code=INTERNAL) from None


def _try(file: Path) -> None:
    """Before hours of work, not after them."""
    if str(file) != "-":
        try:
            file.open("a").close()
        except OSError as error:
            raise ConfigurationError(f"--json {file}: {error.strerror}") from error


def _tables(names: str | None) -> list[Projection]:
    from processor.tables import PROJECTIONS, projection_of

    if names is None:
        return [projection for projection in PROJECTIONS if projection.views]
    try:
        return [projection_of(name.strip()) for name in names.split(",")]
    except KeyError as error:
        known = ",".join(projection.name for projection in PROJECTIONS)
        raise ConfigurationError(f"no projected table {error.args[0]!r}", hint=f"--tables {known}") from None


def _stores(names: str | None) -> frozenset[str] | None:
    if names is None:
        return None
    wanted = frozenset(name.strip() for name in names.split(","))
    if wrong := wanted - STORE_CODES.keys():
        known = ",".join(sorted(STORE_CODES))
        raise ConfigurationError(f"no store {min(wrong)!r}", hint=f"--stores {known}")
    return wanted


def _tell(report: Report, as_json: Path | None) -> None:
    from reconciler.report import now

    if as_json is not None and str(as_json) == "-":
        print_json(report.to_json())
        return
    if as_json is not None:
        as_json.write_text(json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n", "utf-8")
    out.print(report.table(), highlight=False)
    for line in (*report.reasons(), *report.lines(now()), *report.notes):
        out.print(line, highlight=False, markup=False)
    out.print(report.verdict(), highlight=False, style="bold")
