"""`aegis demo`: from nothing to a row travelling, with a table of when each store showed each change."""

from __future__ import annotations

import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from processor.errors import SourceError
from processor.output import err, out
from processor.settings import Settings, load_settings

if TYPE_CHECKING:
    from ops.visibility import Seen, Watch

SERVICE: Final = "demo-processor"
CATCH_UP_SECONDS: Final = 600
LIVE_SECONDS: Final = 120
RATE: Final = 5
CHANGES: Final = 30


POLICY: Final[dict[str, Any]] = {
    "title": "청년 창업 보증",
    "content": "만 39세 이하 청년이 대표인 창업기업의 운전자금을 보증합니다.",
    "issuing_organization": "기술보증기금",
    "target_regions": ["11", "26"],
    "target_industries": ["J"],
    "source_system": "demo",
    "status": "active",
    "is_active": True,
    "quality_score": 0.9,
}


def demo() -> None:
    """Start the servers, load sample policies, and watch changes travel from PostgreSQL into all stores.

    Example: aegis demo
    """
    from ops.connector.commands import apply
    from ops.database import migrate, seed
    from ops.stack import supervisor
    from ops.stack.layout import load_layout
    from processor.build import ensure_views, make_stores

    began = time.monotonic()
    _step("Starting PostgreSQL, Kafka, schema registry, Debezium, Milvus, Neo4j, Elasticsearch and Redis")
    supervisor.up(load_layout(), ())
    _step("Creating tables, loading sample policies, registering the Debezium connector")
    migrate()
    seed()
    apply()
    settings = load_settings()
    stores = make_stores(settings)
    ensure_views(stores)
    for store in stores:
        store.close()
    with _processor():
        _step("Catching up: every sample row goes through Kafka into the stores")
        _catch_up(settings)
        _step("Now live: a policy is inserted, updated, deactivated and deleted")
        _live(settings)
    out.print(
        f"\nDone in {time.monotonic() - began:.0f} s. The servers are still running. Try next:",
        highlight=False,
    )
    out.print("  .venv/bin/aegis trace policies POL-2025-001   one row beside its record in every store")
    out.print("  .venv/bin/aegis status                        lag, counts, dead letters")
    out.print("  .venv/bin/aegis stack down                    stop the servers (their data stays)")


def _step(text: str) -> None:
    out.print(f"\n{text}", style="bold", highlight=False)


@contextmanager
def _processor() -> Iterator[None]:
    """The processor as a recorded child: one that an interrupted demo left behind is ended first."""
    from ops.stack import process
    from ops.stack.layout import ROOT, load_layout

    layout = load_layout()
    process.stop(layout, SERVICE)
    argv = [str(Path(sys.executable).with_name("aegis")), "process"]
    process.start(layout, SERVICE, argv, dict(os.environ), cwd=ROOT)
    try:
        yield
    finally:
        process.stop(layout, SERVICE)


def _catch_up(settings: Settings) -> None:
    from processor.offsets import GroupOffsets
    from processor.routes import consumed_topics

    group = GroupOffsets(settings.kafka, consumed_topics(settings.kafka.topic_prefix))
    ends = group.ends()
    total = left = group.lag(ends)
    columns = (TextColumn("  changes applied"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    until = time.monotonic() + CATCH_UP_SECONDS
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("", total=total)
        while left:
            _alive(until)
            time.sleep(0.2)
            left = group.lag(ends)
            bar.update(task, completed=total - left)
    group.close()
    text = f"{total:,} changes were waiting; all are applied" if total else "nothing was waiting"
    out.print(text, highlight=False)


def _alive(until: float) -> None:
    from ops.stack import process
    from ops.stack.layout import load_layout

    hint = f"aegis stack logs {SERVICE}"
    if process.leader(load_layout(), SERVICE) is None:
        raise SourceError("the processor ended by itself", hint=hint)
    if time.monotonic() > until:
        raise SourceError("the processor has not caught up in time", hint=hint)


def _live(settings: Settings) -> None:
    from ops.visibility import watching

    until = time.monotonic() + LIVE_SECONDS
    with watching(settings, f"DEMO-{uuid.uuid4().hex[:8]}", lambda: _alive(until)) as watch:
        try:
            _warm_up(watch)
            _print_changes(_shown_changes(watch))
            _print_latency(_many_changes(watch))
        finally:
            watch.execute(_statements(watch.key)[2])


def _statements(key: str) -> tuple[Any, Callable[..., Any], Any]:
    """(insert, update(**values), delete) of the demo's policy."""
    import sqlalchemy as sa

    from sql.models import Policy

    mine = Policy.policy_id == key
    return (
        sa.insert(Policy).values(policy_id=key, **POLICY),
        lambda **values: sa.update(Policy).where(mine).values(**values),
        sa.delete(Policy).where(mine),
    )


def _warm_up(watch: Watch) -> None:
    """One change that is not shown: it waits until the processor has its partitions."""
    insert, _, delete = _statements(watch.key)
    watch.change(insert, POLICY["title"])
    watch.change(delete, None)


def _shown_changes(watch: Watch) -> list[tuple[str, str, Seen]]:
    """(change, what the index then shows, when)."""
    insert, update, delete = _statements(watch.key)
    renamed = "바뀐 제목"
    steps = [
        ("insert a policy", insert, POLICY["title"]),
        ("update its title", update(title=renamed), renamed),
        ("set is_active false", update(is_active=False), None),
        ("set is_active true", update(is_active=True), renamed),
        ("delete the row", delete, None),
    ]
    return [(name, title or "nothing", watch.change(change, title)) for name, change, title in steps]


def _many_changes(watch: Watch) -> list[Seen]:
    """Insert a policy, change its title RATE times a second, and delete it again."""
    insert, update, delete = _statements(watch.key)
    watch.change(insert, POLICY["title"])
    seen = []
    for title in (f"변경 {n}" for n in range(CHANGES)):
        began = time.monotonic()
        seen.append(watch.change(update(title=title), title))
        time.sleep(max(0.0, 1 / RATE - (time.monotonic() - began)))
    watch.change(delete, None)
    return seen


def _print_changes(rows: list[tuple[str, str, Seen]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("commit", "then shown"):
        table.add_column(heading, no_wrap=True)
    for place in rows[0][2]:
        table.add_column(place, justify="right", no_wrap=True)
    for name, shows, seen in rows:
        table.add_row(name, shows, *(f"{ms:,.0f}" for ms in seen.values()), style="green")
    out.print(
        "milliseconds from the commit in PostgreSQL until each store, and a search of the index, shows it:\n"
    )
    out.print(table)


def _print_latency(seen: list[Seen]) -> None:
    out.print(f"\n{CHANGES} more changes, {RATE} a second, commit -> visible:", highlight=False)
    for place in seen[0]:
        values = [one[place] for one in seen]
        p50, p90 = statistics.median(values), statistics.quantiles(values, n=10)[-1]
        text = f"  {place:14} p50 {p50:4.0f} ms   p90 {p90:4.0f} ms   max {max(values):4.0f} ms"
        out.print(text, highlight=False)
