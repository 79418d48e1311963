"""What the reconciler remembers in PostgreSQL, so that a killed run goes on and findings have an age.

After every step, what was seen and how far it has come are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert

from processor.database import engine_of
from processor.settings import PostgresSettings
from reconciler.counts import Counts, Finding, Kind
from reconciler.errors import Overlapping
from reconciler.shard import Shard
from sql.models import ReconcileFinding, ReconcilePart, ReconcileRun, ReconcileSuccess, ReconcileSuspect
from sql.queries import QUERIES

KEPT_DAYS: Final = 90
"""Runs are forgotten after so long."""
RESUME_HOURS: Final = 24
"""A run that stopped longer ago is not continued: its "as of" would mean little."""


class Phase(StrEnum):
    """How far a part has come: ranges of keys, then whole rows, then suspects one by one."""

    BULK = "bulk"
    DEEP = "deep"
    RECHECK = "recheck"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Part:
    """One table in one store within a run."""

    run_id: str
    table: str
    store: str

    @property
    def names(self) -> dict[str, str]:
        """As in the columns that name it."""
        return {"run_id": self.run_id, "table_name": self.table, "store": self.store}


@dataclass(slots=True)
class Progress:
    """Where a part is; `after` is the last key of the phase's ranges, `reason` why it failed."""

    phase: Phase
    after: str | None
    counts: Counts
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A run; `turn`: how many of its scope have ended before; `resumed`: begun by an earlier process."""

    run_id: str
    as_of_lsn: int
    turn: int
    resumed: bool


class State:
    """Schema `ops`, as the owner. Every method raises SourceError when PostgreSQL does not answer."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._url = settings.url()

    @contextmanager
    def locked(self, shard: Shard) -> Iterator[None]:
        """Alone: one run of all keys, or one for each share.

        Raises:
            Overlapping: another run is at work.
        """
        with engine_of(self._url) as engine, engine.connect() as connection:
            free = connection.scalar(
                sa.text(QUERIES["lock_run"]), {"shared": shard.count > 1, "shard": f"shard {shard}"}
            )
            connection.commit()
            if not free:
                raise Overlapping("another reconciler is at work", hint="wait for it, or end it by SIGTERM")
            yield

    def begin(self, scope: str, as_of_lsn: int, fresh: bool) -> Run:
        """Go on with the last run of this scope if it has not ended, else begin one."""
        with self._writing() as connection:
            ended = sa.select(sa.func.count()).where(
                ReconcileRun.scope == scope, ReconcileRun.ended_at.is_not(None)
            )
            turn = int(connection.execute(ended).scalar_one())
            recent = ReconcileRun.started_at > sa.func.now() - sa.text(f"interval '{RESUME_HOURS} hours'")
            open_run = connection.execute(
                sa.select(ReconcileRun.run_id, ReconcileRun.as_of_lsn)
                .where(ReconcileRun.scope == scope, ReconcileRun.ended_at.is_(None), recent)
                .order_by(ReconcileRun.started_at.desc())
                .limit(1)
            ).one_or_none()
            if open_run is not None and not fresh:
                return Run(*open_run, turn, resumed=True)
            run = Run(uuid4().hex, as_of_lsn, turn, resumed=False)
            connection.execute(
                sa.insert(ReconcileRun).values(run_id=run.run_id, scope=scope, as_of_lsn=as_of_lsn)
            )
            self._forget(connection)
            return run

    def end(self, run: Run, exit_code: int, report: Mapping[str, Any]) -> None:
        """It is over, and is not continued."""
        with self._writing() as connection:
            connection.execute(
                sa.update(ReconcileRun)
                .where(ReconcileRun.run_id == run.run_id)
                .values(ended_at=sa.func.now(), exit_code=exit_code, report=dict(report))
            )

    def open_part(self, part: Part, shard: Shard) -> Progress:
        """Where the part stands. A new one begins with what is known to be wrong: that is judged anew."""
        with self._writing() as connection:
            found = connection.execute(
                sa.select(
                    ReconcilePart.phase, ReconcilePart.after_key, ReconcilePart.counts, ReconcilePart.reason
                ).where(_of(ReconcilePart, part))
            ).one_or_none()
            if found is not None:
                return Progress(Phase(found[0]), found[1], Counts(**found[2]), found[3])
            progress = Progress(Phase.BULK, None, Counts())
            connection.execute(sa.insert(ReconcilePart).values(**part.names, **_columns(progress)))
            old = sa.select(
                sa.literal(part.run_id),
                ReconcileFinding.table_name,
                ReconcileFinding.store,
                ReconcileFinding.key,
                ReconcileFinding.deep,
            ).where(_is_about(part), shard.condition(sa.type_coerce(ReconcileFinding.key, sa.Text)))
            columns = ["run_id", "table_name", "store", "key", "deep"]
            connection.execute(sa.insert(ReconcileSuspect).from_select(columns, old))
            return progress

    def save(self, part: Part, progress: Progress, suspects: Iterable[str] = (), deep: bool = False) -> None:
        """One step further, with the suspects that it has found; `deep`: only whole rows tell."""
        rows = [{**part.names, "key": key, "deep": deep} for key in suspects]
        with self._writing() as connection:
            if rows:
                connection.execute(insert(ReconcileSuspect).on_conflict_do_nothing(), rows)
            self._save(connection, part, progress)

    def suspects(self, part: Part) -> list[tuple[str, bool]]:
        """(key, deep) of those that are not judged yet, in order."""
        query = sa.select(ReconcileSuspect.key, ReconcileSuspect.deep).where(_of(ReconcileSuspect, part))
        with self._writing() as connection:
            ordered = query.order_by(sa.collate(ReconcileSuspect.key, "C"))
            return [(key, deep) for key, deep in connection.execute(ordered)]

    def judge(
        self, part: Part, progress: Progress, right: list[str], wrong: Mapping[str, tuple[Kind, bool]]
    ) -> None:
        """Verdicts: keys that are right, and the others with their kind and whether only whole rows tell."""
        with self._writing() as connection:
            judged = [*right, *wrong]
            connection.execute(
                sa.delete(ReconcileSuspect).where(
                    _of(ReconcileSuspect, part), ReconcileSuspect.key == _any(judged)
                )
            )
            connection.execute(
                sa.delete(ReconcileFinding).where(_is_about(part), ReconcileFinding.key == _any(right))
            )
            if wrong:
                connection.execute(_found(part, wrong))
            self._save(connection, part, progress)

    def succeed(self, part: Part, as_of_lsn: int) -> None:
        """The table is right in that store, all of it."""
        values = {
            "table_name": part.table,
            "store": part.store,
            "run_id": part.run_id,
            "as_of_lsn": as_of_lsn,
        }
        query = insert(ReconcileSuccess).values(at=sa.func.now(), **values)
        changed = {name: query.excluded[name] for name in ("at", "run_id", "as_of_lsn")}
        with self._writing() as connection:
            connection.execute(
                query.on_conflict_do_update(index_elements=["table_name", "store"], set_=changed)
            )

    def findings(self, run_id: str, limit: int) -> list[Finding]:
        """What a run has found: the oldest first."""
        query = sa.select(
            ReconcileFinding.table_name,
            ReconcileFinding.store,
            ReconcileFinding.key,
            ReconcileFinding.kind,
            ReconcileFinding.first_seen,
        ).where(ReconcileFinding.run_id == run_id)
        ordered = query.order_by(
            ReconcileFinding.first_seen,
            ReconcileFinding.table_name,
            ReconcileFinding.store,
            sa.collate(ReconcileFinding.key, "C"),
        )
        with self._writing() as connection:
            rows = connection.execute(ordered.limit(limit)).all()
        return [Finding(table, store, key, Kind(kind), seen) for table, store, key, kind, seen in rows]

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with engine_of(self._url) as engine, engine.begin() as connection:
            yield connection

    def _save(self, connection: sa.Connection, part: Part, progress: Progress) -> None:
        connection.execute(
            sa.update(ReconcilePart).where(_of(ReconcilePart, part)).values(**_columns(progress))
        )

    def _forget(self, connection: sa.Connection) -> None:
        """Runs of long ago, and what those that nobody goes on with were about to look at."""
        old = ReconcileRun.started_at < sa.func.now() - sa.text(f"interval '{KEPT_DAYS} days'")
        dead = ReconcileRun.started_at < sa.func.now() - sa.text(f"interval '{RESUME_HOURS} hours'")
        for model, which in ((ReconcileSuspect, dead), (ReconcilePart, old)):
            runs = sa.select(ReconcileRun.run_id).where(which)
            connection.execute(sa.delete(model).where(model.run_id.in_(runs)))
        connection.execute(sa.delete(ReconcileRun).where(old))


def _of(model: type[ReconcilePart] | type[ReconcileSuspect], part: Part) -> sa.ColumnElement[bool]:
    return sa.and_(*(getattr(model, name) == value for name, value in part.names.items()))


def _is_about(part: Part) -> sa.ColumnElement[bool]:
    return sa.and_(ReconcileFinding.table_name == part.table, ReconcileFinding.store == part.store)


def _any(keys: list[str]) -> sa.ColumnElement[Any]:
    return sa.any_(sa.cast(keys, ARRAY(sa.Text)))


def _found(part: Part, wrong: Mapping[str, tuple[Kind, bool]]) -> Insert:
    """Findings; what was found before keeps the time when it was."""
    rows = [
        {**part.names, "key": key, "kind": kind.value, "deep": deep} for key, (kind, deep) in wrong.items()
    ]
    query = insert(ReconcileFinding).values(rows)
    changed = {name: query.excluded[name] for name in ("kind", "deep", "run_id")}
    return query.on_conflict_do_update(
        index_elements=["table_name", "store", "key"], set_={**changed, "last_seen": sa.func.now()}
    )


def _columns(progress: Progress) -> dict[str, Any]:
    return {
        "phase": progress.phase.value,
        "after_key": progress.after,
        "counts": asdict(progress.counts),
        "reason": progress.reason,
    }
