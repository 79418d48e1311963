"""`aegis status`: which stores are up, how far each table's changes have come, what each store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ops.store_states import read_processor, read_states
from processor.errors import AegisError
from processor.output import out, print_json
from processor.settings import Settings, load_settings

if TYPE_CHECKING:
    from processor.stores.base import Store
    from processor.tables.base import Projection, View


KAFKA_WORDS = "{lag:,} changes and commands behind, {dead_letters:,} dead letters, {open_letters:,} open"


def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the stores' state, lag per table, records per store, dead letters, connector and slot.

    A store is away when it does not answer, or when the processor on this machine waits for it (then since
    when, and why). Counts prove nothing by themselves; they are the first thing to look at. Exit 0 when
    everything answered, else 1.

    Example: aegis status --json
    """
    from processor.build import make_stores
    from processor.tables import PROJECTIONS

    settings = load_settings()
    stores = {store.name: store for store in make_stores(settings)}
    processor = read_processor(settings)
    states = read_states(stores, processor)
    tables = {p.name: _table(settings, p, stores, states) for p in PROJECTIONS}
    for store in stores.values():
        store.close()
    connector = _attempt(lambda: _connector(settings))
    shown = {"tables": tables, "connector": connector, "stores": states, "processor": processor}
    if as_json:
        print_json(shown)
    else:
        _print(states, tables, connector)
    if _has_error(shown):
        raise typer.Exit(code=1)


def _attempt(read: Any) -> Any:
    """What `read` returns, or its error: one server that is away does not hide the others."""
    try:
        return read()
    except AegisError as error:
        return {"error": str(error), "next": error.hint}


def _table(
    settings: Settings, projection: Projection, stores: dict[str, Store], states: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    def count(name: str, view: View) -> dict[str, Any]:
        if "error" in states[name]:  # it was asked already, and a time-out takes seconds
            return {key: states[name][key] for key in ("error", "next")}
        return {"records": stores[name].count(view)}

    return {
        "source": _attempt(lambda: _source_counts(settings, projection)),
        "kafka": _attempt(lambda: _kafka(settings, projection)),
        "stores": {
            view.store: _attempt(lambda view=view: count(view.store, view)) for view in projection.views
        },
    }


def _source_counts(settings: Settings, projection: Projection) -> dict[str, int]:
    from processor.database import connect
    from processor.source import count_rows

    with connect(settings.postgres.processor_url()) as connection:
        rows, projected = count_rows(connection, projection)
    return {"rows": rows, "projected": projected}


def _kafka(settings: Settings, projection: Projection) -> dict[str, int]:
    from processor.letter_topics import LetterTopics
    from processor.offsets import GroupOffsets
    from processor.routes import consumed_topics
    from processor.tables import topic_of

    topic = topic_of(settings.kafka.topic_prefix, projection)
    changes = GroupOffsets(settings.kafka, consumed_topics(settings.kafka.topic_prefix, [projection]))
    letters = LetterTopics(settings.kafka, {topic: projection})
    try:
        spans = letters.spans()
        return {
            "lag": changes.lag(changes.ends()),
            "dead_letters": sum(span.end - span.low for span in spans),
            "open_letters": sum(span.open for span in spans),
        }
    finally:
        changes.close()
        letters.close()


def _connector(settings: Settings) -> dict[str, Any]:
    from ops.connector.client import Connect
    from processor.database import connect
    from sql.capture import CONNECTOR, SLOT
    from sql.positions import read_slot

    client = Connect(settings.connect)
    try:
        found = client.status(CONNECTOR)
    finally:
        client.close()
    with connect(settings.postgres.url()) as connection:
        slot = read_slot(connection, SLOT)
    return {
        "state": found.connector if found else "not registered",
        "tasks": list(found.tasks) if found else [],
        "slot_active": bool(slot and slot.active),
        "slot_lag_bytes": (slot.lag_bytes or 0) if slot else 0,
    }


def _has_error(value: Any) -> bool:
    return isinstance(value, dict) and ("error" in value or any(map(_has_error, value.values())))


def _print(
    states: dict[str, dict[str, Any]], tables: dict[str, dict[str, Any]], connector: dict[str, Any]
) -> None:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("table", "where", "state"):
        grid.add_column(heading)
    for n, (name, state) in enumerate(states.items()):
        grid.add_row("" if n else "stores", name, _state_words(state))
    for name, table in tables.items():
        grid.add_row(name, "postgresql", _words(table["source"], "{rows:,} rows, {projected:,} to be shown"))
        grid.add_row("", "kafka", _words(table["kafka"], KAFKA_WORDS))
        for store, state in table["stores"].items():
            grid.add_row("", store, "away" if "error" in state else _words(state, "{records:,} records"))
    text = "{state}, slot active: {slot_active}, {slot_lag_bytes:,} bytes of log behind"
    grid.add_row("connector", "", _words(connector, text))
    out.print(grid, highlight=False)


def _state_words(state: dict[str, Any]) -> str:
    if "error" not in state:
        return "up"
    since = f", the processor waits since {state['since']}" if state["since"] else ""
    return f"away{since}: {_words(state, '')}"


def _words(state: dict[str, Any], text: str) -> str:
    return f"{state['error']} (next: {state['next']})" if "error" in state else text.format(**state)
