"""`aegis reconcile` (also `python -m reconciler`): compare the stores with PostgreSQL, and heal them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processor.commands import stop_on_signals
from processor.settings import load_settings
from reconciler import options
from reconciler.bar import Bar
from reconciler.contract import ContractCommand, ContractGroup, exit_codes
from reconciler.outputs import Outputs

if TYPE_CHECKING:
    from reconciler.check import Request

app = typer.Typer(
    cls=ContractGroup,
    help="Compare the stores with PostgreSQL, under live traffic, and heal them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def reconcile() -> None:
    """Compare the stores with PostgreSQL, under live traffic, and heal them."""


@app.command(cls=ContractCommand)
def check(
    tables: options.Tables = None,
    stores: options.Stores = None,
    deep: options.Deep = False,
    deep_every: options.DeepEvery = None,
    shard: options.ShardOf = None,
    max_seconds: options.MaxSeconds = None,
    rows_per_second: options.RowsPerSecond = None,
    fence_seconds: options.FenceSeconds = 60,
    max_suspects: options.MaxSuspects = 100_000,
    fresh: options.Fresh = False,
    as_json: options.AsJson = None,
    html: options.Html = None,
    metrics: options.Metrics = None,
    notify: options.Notify = False,
) -> None:
    """Say of every table and store, with certainty, what is missing, orphaned, stale - or not verified.

    Nothing is stopped and nothing is changed. Exit 0 consistent, 1 drift, 3 cannot verify, 4 stopped early
    (the same command goes on), 5 another run is at work, 10 configuration, 11 internal error.

    Example: aegis reconcile check --deep-every 7 --json report.json
    """

    def request() -> Request:
        return _request(
            tables=tables,
            stores=stores,
            shard=shard,
            deep_every=1 if deep else deep_every,
            max_seconds=max_seconds,
            rows_per_second=rows_per_second,
            fence_seconds=fence_seconds,
            max_suspects=max_suspects,
            fresh=fresh,
        )

    _run(request, Outputs(as_json, html, metrics, notify))


@app.command(cls=ContractCommand)
def repair(
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it; without, only say what would be done.")
    ] = False,
    max_delete_ratio: Annotated[
        float,
        typer.Option(
            "--max-delete-ratio",
            min=0,
            max=1,
            help="Refuse to remove a larger share of a table's records (ten are always allowed).",
        ),
    ] = 0.01,
    upsert_only: Annotated[bool, typer.Option("--upsert-only", help="Remove nothing.")] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Also heal a table that PostgreSQL has no rows of.")
    ] = False,
    rate: Annotated[float, typer.Option("--rate", min=0.1, help="Rows a second that are read again.")] = 100,
    tables: options.Tables = None,
    stores: options.Stores = None,
    deep: options.Deep = False,
    deep_every: options.DeepEvery = None,
    shard: options.ShardOf = None,
    max_seconds: options.MaxSeconds = None,
    rows_per_second: options.RowsPerSecond = None,
    fence_seconds: options.FenceSeconds = 60,
    max_suspects: options.MaxSuspects = 100_000,
    fresh: options.Fresh = False,
    as_json: options.AsJson = None,
    html: options.Html = None,
    metrics: options.Metrics = None,
    notify: options.Notify = False,
) -> None:
    """Check, then have what is wrong read again from PostgreSQL, and verify exactly that.

    Exit as check, and 2: drift was found, repaired and verified. What has an open dead letter is not touched.

    Example: aegis reconcile repair --apply --html report.html
    """

    def request() -> Request:
        from reconciler.repair import Rails

        return _request(
            tables=tables,
            stores=stores,
            shard=shard,
            deep_every=1 if deep else deep_every,
            max_seconds=max_seconds,
            rows_per_second=rows_per_second,
            fence_seconds=fence_seconds,
            max_suspects=max_suspects,
            fresh=fresh,
            rails=Rails(apply, max_delete_ratio, upsert_only, allow_empty, rate),
        )

    _run(request, Outputs(as_json, html, metrics, notify))


@app.command(cls=ContractCommand)
def status(
    max_age: Annotated[
        float, typer.Option("--max-age", min=0.01, help="Hours after which a success is worth nothing.")
    ] = 26,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say when every table was last found right in every store, what is known to be wrong, and the last runs.

    Reads only what runs have left: quick, for monitoring. Exit 0 right and lately so, 1 drift is known, 3 the
    last success of a table is too old or never was, 10 configuration, 11 internal error.

    Example: aegis reconcile status --max-age 26
    """
    with exit_codes():
        from reconciler.status import show

        code = show(timedelta(hours=max_age), as_json)
    if code:
        raise typer.Exit(code=code)


def _request(tables: str | None, stores: str | None, shard: str | None, **others: Any) -> Request:
    from reconciler.check import Request
    from reconciler.shard import Shard

    return Request(
        tables=options.tables_of(tables),
        stores=options.stores_of(stores),
        shard=Shard() if shard is None else Shard.parse(shard),
        **others,
    )


def _run(make: Callable[[], Request], outputs: Outputs) -> None:
    with outputs.telling():
        with exit_codes():
            from processor.tables import PROJECTIONS
            from reconciler.check import Check

            request = make()
            outputs.check()
            settings = load_settings()
        stop = Event()
        stop_on_signals(lambda _: stop.set())
        with exit_codes(), Bar() as bar, closing(Check(settings, request, PROJECTIONS, stop, bar)) as work:
            report = work.run()
        with exit_codes():
            outputs.write(report, settings)
    if report.exit_code:
        raise typer.Exit(code=report.exit_code)
