"""The statements by which a run is remembered in schema `ops`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, Insert, insert

from reconciler.counts import Kind
from reconciler.progress import Part, Progress
from reconciler.shard import Shard
from sql.models import ReconcileFinding, ReconcilePart, ReconcileRepair, ReconcileRun, ReconcileSuspect

OfPart = ReconcilePart | ReconcileSuspect | ReconcileFinding
KEPT_DAYS: Final = 90
"""Runs are forgotten after so long."""
RESUME_HOURS: Final = 24
"""A run that has not moved for longer is not continued: its "as of" would mean little."""


def spelled(key: str) -> str:
    """A key as PostgreSQL can hold it: a store may hold one with NUL, which no row has."""
    return _MARK + json.dumps(key) if "\0" in key or key.startswith(_MARK) else key


def unspelled(text: str | None) -> str | None:
    """The inverse of `spelled`."""
    return str(json.loads(text[1:])) if text is not None and text.startswith(_MARK) else text


def save_progress(connection: sa.Connection, part: Part, progress: Progress) -> None:
    """A part, and with it its run, has come a step further."""
    connection.execute(
        sa.update(ReconcilePart).where(of_part(ReconcilePart, part)).values(**columns_of(progress))
    )
    moved = sa.update(ReconcileRun).where(ReconcileRun.run_id == part.run_id)
    connection.execute(moved.values(moved_at=sa.func.now()))


def forget_runs(connection: sa.Connection) -> None:
    """Runs of long ago, and what those that have ended, or will not go on, were about to look at."""
    old = ReconcileRun.moved_at < sa.func.now() - sa.text(f"interval '{KEPT_DAYS} days'")
    over = sa.or_(ReconcileRun.ended_at.is_not(None), ReconcileRun.moved_at <= RECENT)
    for model, which in ((ReconcileSuspect, over), (ReconcilePart, old), (ReconcileRepair, old)):
        runs = sa.select(ReconcileRun.run_id).where(which)
        connection.execute(sa.delete(model).where(model.run_id.in_(runs)))
    connection.execute(sa.delete(ReconcileRun).where(old))


def _add_suspect() -> Insert:
    """What is suspicious both ways is looked at closely."""
    query = insert(ReconcileSuspect)
    return query.on_conflict_do_update(
        index_elements=["run_id", "table_name", "store", "key"],
        set_={"deep": sa.or_(ReconcileSuspect.deep, query.excluded.deep)},
    )


ADD_SUSPECT: Final = _add_suspect()
RECENT: Final = sa.func.now() - sa.text(f"interval '{RESUME_HOURS} hours'")
_MARK: Final = "\x01"


def of_part(model: type[OfPart], part: Part) -> sa.ColumnElement[bool]:
    """What belongs to a part of a run."""
    return sa.and_(*(getattr(model, name) == value for name, value in part.names.items()))


def shares_keys(shard: Shard) -> sa.ColumnElement[bool]:
    """Runs that look at keys of this share, too: all but those of another share of the same number."""
    other = sa.cast(ReconcileRun.scope, JSONB)["shard"].astext
    same = sa.or_(other == str(shard), sa.func.split_part(other, "/", 2) != str(shard.count))
    return sa.true() if shard.count == 1 else same


def is_about(part: Part) -> sa.ColumnElement[bool]:
    """Findings of a part's table and store, of any run."""
    return sa.and_(ReconcileFinding.table_name == part.table, ReconcileFinding.store == part.store)


def any_of(keys: list[str]) -> sa.ColumnElement[Any]:
    """To compare a key column with."""
    return sa.any_(sa.cast([spelled(key) for key in keys], ARRAY(sa.Text)))


def add_findings(part: Part, wrong: Mapping[str, tuple[Kind, bool]]) -> Insert:
    """Findings; what was found before keeps the time when it was."""
    rows = [
        {**part.names, "key": spelled(key), "kind": kind.value, "deep": deep}
        for key, (kind, deep) in wrong.items()
    ]
    query = insert(ReconcileFinding).values(rows)
    changed = {name: query.excluded[name] for name in ("kind", "deep", "run_id")}
    return query.on_conflict_do_update(
        index_elements=["table_name", "store", "key"], set_={**changed, "last_seen": sa.func.now()}
    )


def add_repairs(part: Part, right: list[str]) -> Insert:
    """What was found of those keys is healed."""
    names = ("key", "kind", "first_seen")
    found = sa.select(
        *(sa.literal(value) for value in part.names.values()),
        *(getattr(ReconcileFinding, name) for name in names),
    ).where(is_about(part), ReconcileFinding.key == any_of(right))
    return insert(ReconcileRepair).from_select([*part.names, *names], found).on_conflict_do_nothing()


def columns_of(progress: Progress) -> dict[str, Any]:
    """As the columns of a part."""
    return {
        "phase": progress.phase.value,
        "after_key": None if progress.after is None else spelled(progress.after),
        "counts": asdict(progress.counts),
    }
