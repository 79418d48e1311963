"""What reconciling costs: reading PostgreSQL, merging, memory, and scanning the stores.

Narrow rows in a database of the measurement's own; beside each part, in the same run, the least that any
way to do it would take. Run by `make bench-reconcile` on the running native stack: the CPU of PostgreSQL is
that of its process on this machine. It removes what it made.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import Annotated

import sqlalchemy as sa
import typer
from rich.table import Table

from bench import narrow
from bench.measured import Measured
from bench.reconcile_merge import merges, processes
from bench.reconcile_scans import scans
from bench.reconcile_source import BY_UUID, sources
from processor.output import out
from processor.settings import load_settings
from tests.integration.scratch import scratch_database

HEADINGS = ("", "rows", "rows/s", "time, x baseline", "own CPU, us a row", "PostgreSQL's", "MiB at most")
SIZES = [1_000_000, 3_000_000]


def main(
    rows: Annotated[
        list[int] | None, typer.Option(help="Rows of the table; more than one size is allowed.")
    ] = None,
    rounds: Annotated[int, typer.Option(help="Rounds that are measured.")] = 3,
    records: Annotated[int, typer.Option(help="Records in each real store.")] = 20_000,
) -> None:
    """Measure, and print one table."""
    settings = load_settings()
    table, plans = Table(box=None, pad_edge=False), list[str]()
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading else "left")
    try:
        for size in rows or SIZES:
            with scratch_database(settings) as engine, tempfile.TemporaryDirectory() as folder:
                plans += _size(table, engine, Path(folder) / "records", size, rounds)
        for ours, theirs in scans(settings, records, rounds):
            _add(table, theirs)
            _add(table, ours, theirs)
    finally:  # a run takes long: what was measured is shown whatever came afterwards
        out.print(table)
        for plan in dict.fromkeys(plans):
            out.print(plan, highlight=False, markup=False)


def _size(table: Table, engine: sa.Engine, path: Path, size: int, rounds: int) -> list[str]:
    """One size of the table; the plans of its queries."""
    plans = []
    for way, bare, plan in sources(engine, size, rounds):
        _add(table, bare)
        _add(table, way, bare)
        plans.append(f"{way.name}: {plan}")
    with narrow.reading(engine) as connection:
        narrow.write_keys(connection, BY_UUID, path)
    walked, alone = merges(engine, path, size, rounds)
    _add(table, alone)
    _add(table, walked, alone)
    made = processes(engine, path, size, rounds)
    _add(table, made["nothing"])
    _add(table, made["sets"])
    _add(table, made["stream"], made["sets"])
    return plans


def _add(table: Table, way: Measured, other: Measured | None = None) -> None:
    """A line; `other`: the baseline, whose line stands above."""

    def shown(value: float | None, digits: int = 2) -> str:
        return "" if value is None else f"{value:,.{digits}f}"

    wall = way.per_row(way.wall)
    table.add_row(
        f"  {way.name}" if other else way.name,
        f"{way.rows:,}",
        f"{1e6 / wall:,.0f}" if wall else "",
        f"{way.times(other):.2f}" if other else "",
        shown(way.per_row(way.own)),
        shown(way.per_row(way.server)),
        shown(median(way.mib), 0) if way.mib else "",
    )


if __name__ == "__main__":
    typer.run(main)
