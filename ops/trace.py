"""`aegis trace TABLE KEY`: one row in PostgreSQL beside every store, with what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from ops.output import out, print_json
from processor.errors import AegisError, ConfigurationError, RowRejected
from processor.rows import Row
from processor.settings import load_settings
from processor.stamp import split_version
from processor.stores.base import Record
from processor.tables.base import Projection, View

COLOURS = {"ok": "green", "not_projected": "green", "missing": "red", "stale": "red", "orphan": "red"}


@dataclass(frozen=True)
class Comparison:
    """A row beside one store's record.

    Attributes:
        state: ok, missing, stale, orphan, not_projected, or unavailable with its reason.
        differences: field -> (in PostgreSQL, in the store).
    """

    store: str
    state: str
    record: Record | None = None
    differences: Mapping[str, tuple[Any, Any]] | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields that scripts rely on, and the differences."""
        stamp = self.record.stamp.to_text() if self.record else {}
        shown: dict[str, Any] = {"state": self.state, "version": stamp.get("version"), "fp": stamp.get("fp")}
        if self.differences:
            shown["differences"] = {k: {"source": a, "store": b} for k, (a, b) in self.differences.items()}
        return shown | ({"reason": self.reason} if self.reason else {})


def compare(projection: Projection, view: View, row: Row | None, record: Record | None) -> Comparison:
    """Judge one record by the row as PostgreSQL has it now: pure, no fence, so a change may be on its way."""
    projected = row is not None and projection.predicate(row)
    if row is None or not projected:
        state = "not_projected" if record is None else "orphan"
        return Comparison(view.store, state, record)
    try:
        wanted = projection.body(view, row)
    except RowRejected as error:
        return Comparison(view.store, "missing" if record is None else "stale", record, reason=str(error))
    if record is None:
        return Comparison(view.store, "missing")
    differences = {
        name: (value, record.body.get(name))
        for name, value in wanted.items()
        if record.body.get(name) != value
    }
    stale = differences or projection.fingerprint(view, row) != record.stamp.fp
    return Comparison(view.store, "stale" if stale else "ok", record, differences)


def trace(
    table: Annotated[str, typer.Argument(help="Table, for example policies.")],
    key: Annotated[str, typer.Argument(help="Key: the plain value, or col=value,col=value.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a row in PostgreSQL beside every store. Exit 0 when all agree, else 1.

    Example: aegis trace policies POL-2025-001
    """
    projection, row, comparisons = look_up(table, key)
    if as_json:
        stores = {item.store: item.as_json() for item in comparisons}
        print_json({"table": projection.name, "key": key, "source": row, "stores": stores})
    else:
        _print(projection, key, row, comparisons)
    if any(item.state not in ("ok", "not_projected") for item in comparisons):
        raise typer.Exit(code=1)


def look_up(table: str, key: str) -> tuple[Projection, Row | None, list[Comparison]]:
    """Read the row and every store's record of it.

    Raises:
        AegisError: unknown table, a key of other columns, or PostgreSQL does not answer.
    """
    from ops.database import connect
    from processor.build import make_stores
    from processor.keys import parse_key_text
    from processor.source import read_rows

    projection = find_projection(table)
    settings = load_settings()
    try:
        columns = parse_key_text(projection.key_columns, key)
    except ValueError as error:
        raise ConfigurationError(f"not a key of {projection.name}: {error}") from error
    with connect(settings.postgres.processor_url()) as connection:
        row = read_rows(connection, projection, [columns]).get(key)
    stores = {store.name: store for store in make_stores(settings)}
    comparisons = []
    for view in projection.views:
        try:
            record = stores[view.store].read(view, [key]).get(key)
            comparisons.append(compare(projection, view, row, record))
        except AegisError as error:
            comparisons.append(Comparison(view.store, "unavailable", reason=str(error)))
    for store in stores.values():
        store.close()
    return projection, row, comparisons


def find_projection(table: str) -> Projection:
    """The projection of `table`.

    Raises:
        ConfigurationError: no such table; names those there are.
    """
    from processor.tables import PROJECTIONS, projection_of

    try:
        return projection_of(table)
    except KeyError:
        names = ", ".join(projection.name for projection in PROJECTIONS)
        raise ConfigurationError(f"no projected table {table!r}", hint=f"one of: {names}") from None


def _print(projection: Projection, key: str, row: Row | None, comparisons: list[Comparison]) -> None:
    out.print(f"{projection.name} {key}", style="bold", markup=False, highlight=False)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("where", "state", "epoch", "position", "fingerprint", "xid"):
        grid.add_column(heading, no_wrap=True)
    state = "absent" if row is None else "present" if projection.predicate(row) else "present, not projected"
    grid.add_row("postgresql", state, "", "", "", "")
    for item in comparisons:
        grid.add_row(
            item.store, Text(item.state, style=COLOURS.get(item.state, "yellow")), *_stamp_cells(item)
        )
    out.print(grid)
    for item in comparisons:
        if item.reason:
            out.print(f"{item.store}: {item.reason}", markup=False)
        for name, (source, store) in (item.differences or {}).items():
            out.print(f"{item.store} {name}: postgresql {source!r}, store {store!r}", markup=False)


def _stamp_cells(item: Comparison) -> tuple[str, str, str, str]:
    if item.record is None:
        return "", "", "", ""
    stamp = item.record.stamp
    epoch, position = split_version(stamp.version)
    xid = "snapshot" if stamp.xid is None else str(stamp.xid)
    return str(epoch), f"{position >> 32:X}/{position & 0xFFFFFFFF:X}", stamp.fp, xid
