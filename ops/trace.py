"""`aegis trace TABLE KEY`: one row in PostgreSQL beside every store, with what differs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from processor.compare import Comparison, State, compare
from processor.errors import AegisError, ConfigurationError, RowRejected
from processor.output import out, print_json
from processor.rows import Row
from processor.settings import Settings, load_settings
from processor.stamp import split_version
from processor.stores.base import Record, Store
from processor.tables.base import Projection, View

GOOD: Final = (State.OK, State.NOT_PROJECTED)
MAX_CELL: Final = 32
"""Characters of a value shown to a person; `--json` has all of it."""


@dataclass(frozen=True)
class Look:
    """What was found in one store; `comparison` is None when it did not answer."""

    view: View
    record: Record | None
    comparison: Comparison | None
    reason: str | None = None

    @property
    def state(self) -> str:
        """As scripts see it."""
        return self.comparison.state.value if self.comparison else "unavailable"

    def as_json(self) -> dict[str, Any]:
        """The fields that scripts rely on, and the differences."""
        stamp = self.record.stamp.to_text() if self.record else {}
        shown: dict[str, Any] = {"state": self.state, "version": stamp.get("version"), "fp": stamp.get("fp")}
        if self.comparison and self.comparison.differences:
            pairs = self.comparison.differences.items()
            shown["differences"] = {name: {"source": a, "store": b} for name, (a, b) in pairs}
        return shown | ({"reason": self.reason} if self.reason else {})


def trace(
    table: Annotated[str, typer.Argument(help="Table, for example policies.")],
    key: Annotated[str, typer.Argument(help="Key: the plain value, or col=value,col=value.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a row in PostgreSQL beside every store. Exit 0 when all agree, else 1.

    A change that is on its way shows as a difference: look again after a moment.

    Example: aegis trace policies POL-2025-001
    """
    projection, row, looks = look_up(table, key)
    if as_json:
        stores = {look.view.store: look.as_json() for look in looks}
        print_json({"table": projection.name, "key": key, "source": row, "stores": stores})
    else:
        _print(projection, key, row, looks)
    if any(look.comparison is None or look.comparison.state not in GOOD for look in looks):
        raise typer.Exit(code=1)


def look_up(table: str, key: str) -> tuple[Projection, Row | None, list[Look]]:
    """Read the row and every store's record of it.

    Raises:
        AegisError: unknown table, a key of other columns, or PostgreSQL does not answer.
    """
    from processor.build import make_stores

    projection = find_projection(table)
    settings = load_settings()
    row = _read_row(settings, projection, key)
    stores = {store.name: store for store in make_stores(settings)}
    try:
        looks = [_look(projection, view, stores[view.store], key, row, settings) for view in projection.views]
    finally:
        for store in stores.values():
            store.close()
    return projection, row, looks


def _read_row(settings: Settings, projection: Projection, key: str) -> Row | None:
    from processor.database import connect
    from processor.source import read_rows

    try:
        values = projection.parse_key(key)
    except ValueError as error:
        raise ConfigurationError(f"not a key of {projection.name}: {error}") from error
    with connect(settings.postgres.processor_url()) as connection:
        return read_rows(connection, projection, [values]).get(key)


def _look(
    projection: Projection, view: View, store: Store, key: str, row: Row | None, settings: Settings
) -> Look:
    try:
        record = store.read(view, [key]).get(key)
    except AegisError as error:
        return Look(view, None, None, str(error))
    comparison = compare(projection, view, row, record, settings.embedding.model_id)
    return Look(view, record, comparison, comparison.reason)


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


def _print(projection: Projection, key: str, row: Row | None, looks: list[Look]) -> None:
    out.print(f"{projection.name} {key}", style="bold", markup=False, highlight=False)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "postgresql", *(look.view.store for look in looks)):
        width = max(len(heading), 8) if heading else 14  # a narrow terminal cuts values, not names of stores
        grid.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=width, max_width=MAX_CELL)
    state = "absent" if row is None else "present" if projection.predicate(row) else "not to be shown"
    grid.add_row("state", state, *(_coloured(look) for look in looks))
    stamps = list(map(_stamp_cells, looks))
    for number, label in enumerate(("epoch", "position", "xid")):
        grid.add_row(label, "", *(cells[number] for cells in stamps))
    values = _as_shown(projection, row, looks)
    for name in _names(looks):
        value = _one_line(values[name]) if name in values else Text("")
        grid.add_row(name, value, *(_cell(look, name) for look in looks))
    out.print(grid)
    for look in looks:
        if look.reason:
            out.print(f"{look.view.store}: {look.reason}", markup=False, highlight=False)
    if any(look.comparison and look.comparison.differences for look in looks):
        out.print("A store's cell shows what it holds instead; = is equal. More: --json", highlight=False)


def _coloured(look: Look) -> Text:
    good = look.comparison is not None and look.comparison.state in GOOD
    return Text(look.state, style="green" if good else "red" if look.comparison else "yellow")


def _stamp_cells(look: Look) -> tuple[str, str, str]:
    if look.record is None:
        return "", "", ""
    stamp = look.record.stamp
    epoch, position = split_version(stamp.version)
    xid = "snapshot" if stamp.xid is None else str(stamp.xid)
    return str(epoch), f"{position >> 32:X}/{position & 0xFFFFFFFF:X}", xid


def _names(looks: list[Look]) -> list[str]:
    """Every field that any view has, and every other thing that differs."""
    fields = [name for look in looks for name in look.view.columns]
    others = [name for look in looks if look.comparison for name in look.comparison.differences]
    return list(dict.fromkeys(fields + others))


def _as_shown(projection: Projection, row: Row | None, looks: list[Look]) -> dict[str, Any]:
    """The row as the stores are to show it; as it is in PostgreSQL where they are not."""
    if row is None:
        return {}
    shown = dict(row)
    with contextlib.suppress(RowRejected):
        for look in looks:
            shown |= {
                name: value
                for name, value in projection.body(look.view, row).items()
                if name in look.view.fields
            }
    return shown


def _cell(look: Look, name: str) -> Text:
    if look.comparison is None or look.record is None:
        return Text("")
    if name in look.comparison.differences:
        return _one_line(look.comparison.differences[name][1], style="red")
    if name not in look.record.body:
        return Text("")
    equal = look.comparison.state in (State.OK, State.STALE)
    return Text("=") if equal else _one_line(look.record.body[name])


def _one_line(value: Any, style: str = "") -> Text:
    """A page of text would hide the fields below it."""
    return Text(" ".join(str(value).split()), style=style)
