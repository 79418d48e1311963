"""What the reconciler remembers in PostgreSQL, so that a killed run goes on and findings have an age.

After every step, what was seen and how far it has come are written in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from threading import Lock
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert

from processor.database import engine_of
from processor.settings import PostgresSettings
from reconciler.counts import Counts, Finding, Kind
from reconciler.errors import Overlapping, StoppedEarly
from reconciler.shard import Shard
from sql.models import ReconcileFinding, ReconcilePart, ReconcileRun, ReconcileSuccess, ReconcileSuspect
from sql.queries import QUERIES

KEPT_DAYS: Final = 90
"""Runs are forgotten after so long."""
RESUME_HOURS: Final = 24
"""A run that has not moved for longer is not continued: its "as of" would mean little."""


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


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a part is; `after` is the last key of the phase's ranges."""

    phase: Phase
    after: str | None
    counts: Counts


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
        self._lock: sa.Connection | None = None
        self._mutex = Lock()

    @contextmanager
    def locked(self, shard: Shard) -> Iterator[None]:
        """Alone: one run of all keys, or one for each share. Once the lock is lost, nothing is written.

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
            self._lock = connection
            try:
                yield
            finally:
                self._lock = None

    def begin(self, scope: str, as_of_lsn: int, fresh: bool) -> Run:
        """Go on with the last run of this scope if it has not ended, else begin one, and give others up."""
        of_scope = ReconcileRun.scope == scope
        query = sa.select(ReconcileRun.run_id, ReconcileRun.as_of_lsn, ReconcileRun.turn)
        latest = query.order_by(ReconcileRun.started_at.desc()).limit(1)
        open_run = latest.where(of_scope, ReconcileRun.ended_at.is_(None), ReconcileRun.moved_at > _RECENT)
        with self._writing() as connection:
            found = connection.execute(open_run).one_or_none()
            if found is not None and not fresh:
                return Run(*found, resumed=True)
            given_up = sa.update(ReconcileRun).where(of_scope, ReconcileRun.ended_at.is_(None))
            connection.execute(given_up.values(ended_at=sa.func.now(), exit_code=StoppedEarly.exit_code))
            last = latest.where(of_scope, ReconcileRun.exit_code.in_((0, 1)))
            turn = next((turn + 1 for _, _, turn in connection.execute(last)), 0)
            run = Run(uuid4().hex, as_of_lsn, turn, resumed=False)
            values = {"run_id": run.run_id, "scope": scope, "as_of_lsn": as_of_lsn, "turn": turn}
            connection.execute(sa.insert(ReconcileRun).values(values))
            _forget(connection)
            return run

    def end(self, run: Run, exit_code: int, report: Mapping[str, Any]) -> None:
        """It is over, and is not continued."""
        values = {"ended_at": sa.func.now(), "exit_code": exit_code, "report": dict(report)}
        with self._writing() as connection:
            connection.execute(
                sa.update(ReconcileRun).where(ReconcileRun.run_id == run.run_id).values(values)
            )

    def open_part(self, part: Part, shard: Shard) -> Progress:
        """Where the part stands. A new one begins with what is known to be wrong: that is judged anew."""
        columns = (ReconcilePart.phase, ReconcilePart.after_key, ReconcilePart.counts)
        with self._writing() as connection:
            found = connection.execute(sa.select(*columns).where(_of(ReconcilePart, part))).one_or_none()
            if found is not None:
                return Progress(Phase(found[0]), unspelled(found[1]), Counts(**found[2]))
            progress = Progress(Phase.BULK, None, Counts())
            connection.execute(sa.insert(ReconcilePart).values(**part.names, **_columns(progress)))
            known = sa.select(
                sa.literal(part.run_id),
                ReconcileFinding.table_name,
                ReconcileFinding.store,
                ReconcileFinding.key,
                ReconcileFinding.deep,
            ).where(_is_about(part), shard.condition(sa.type_coerce(ReconcileFinding.key, sa.Text)))
            names = [*part.names, "key", "deep"]
            connection.execute(sa.insert(ReconcileSuspect).from_select(names, known))
            return progress

    def save(self, part: Part, progress: Progress, suspects: Iterable[str] = (), deep: bool = False) -> int:
        """One step further, with the suspects that it has found; returns how many there are.

        `deep`: only whole rows tell.
        """
        rows = [{**part.names, "key": spelled(key), "deep": deep} for key in suspects]
        count = sa.select(sa.func.count()).select_from(ReconcileSuspect).where(_of(ReconcileSuspect, part))
        with self._writing() as connection:
            if rows:
                connection.execute(_SUSPECT, rows)
            _save(connection, part, progress)
            return int(connection.execute(count).scalar_one())

    def suspects(self, part: Part) -> list[tuple[str, bool]]:
        """(key, deep) of those that are not judged yet."""
        query = sa.select(ReconcileSuspect.key, ReconcileSuspect.deep).where(_of(ReconcileSuspect, part))
        with self._writing() as connection:
            return [(str(unspelled(key)), deep) for key, deep in connection.execute(query)]

    def judge(
        self, part: Part, progress: Progress, right: list[str], wrong: Mapping[str, tuple[Kind, bool]]
    ) -> None:
        """Verdicts: keys that are right, and the others with their kind and whether only whole rows tell."""
        suspects = sa.delete(ReconcileSuspect).where(_of(ReconcileSuspect, part))
        findings = sa.delete(ReconcileFinding).where(_is_about(part))
        with self._writing() as connection:
            connection.execute(suspects.where(ReconcileSuspect.key == _any([*right, *wrong])))
            connection.execute(findings.where(ReconcileFinding.key == _any(right)))
            if wrong:
                connection.execute(_found(part, wrong))
            _save(connection, part, progress)

    def succeed(self, part: Part, shard: Shard, as_of_lsn: int) -> None:
        """The table is right in that store, all of that share."""
        values = {
            "shard": str(shard),
            "table_name": part.table,
            "store": part.store,
            "run_id": part.run_id,
            "as_of_lsn": as_of_lsn,
        }
        query = insert(ReconcileSuccess).values(at=sa.func.now(), **values)
        changed = {name: query.excluded[name] for name in ("at", "run_id", "as_of_lsn")}
        with self._writing() as connection:
            connection.execute(
                query.on_conflict_do_update(index_elements=["table_name", "store", "shard"], set_=changed)
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
        return [
            Finding(table, store, str(unspelled(key)), Kind(kind), seen)
            for table, store, key, kind, seen in rows
        ]

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with engine_of(self._url) as engine:
            if self._lock is not None:
                with self._mutex:  # raises if it was lost
                    self._lock.execute(sa.select(1))
                    self._lock.commit()
            with engine.begin() as connection:
                yield connection


def spelled(key: str) -> str:
    """A key as PostgreSQL can hold it: a store may hold one with NUL, which no row has."""
    return _MARK + json.dumps(key) if "\0" in key or key.startswith(_MARK) else key


def unspelled(text: str | None) -> str | None:
    """The inverse of `spelled`."""
    return str(json.loads(text[1:])) if text is not None and text.startswith(_MARK) else text


def _save(connection: sa.Connection, part: Part, progress: Progress) -> None:
    connection.execute(sa.update(ReconcilePart).where(_of(ReconcilePart, part)).values(**_columns(progress)))
    moved = sa.update(ReconcileRun).where(ReconcileRun.run_id == part.run_id)
    connection.execute(moved.values(moved_at=sa.func.now()))


def _forget(connection: sa.Connection) -> None:
    """Runs of long ago, and what those that have ended, or will not go on, were about to look at."""
    old = ReconcileRun.moved_at < sa.func.now() - sa.text(f"interval '{KEPT_DAYS} days'")
    over = sa.or_(ReconcileRun.ended_at.is_not(None), ReconcileRun.moved_at <= _RECENT)
    for model, which in ((ReconcileSuspect, over), (ReconcilePart, old)):
        runs = sa.select(ReconcileRun.run_id).where(which)
        connection.execute(sa.delete(model).where(model.run_id.in_(runs)))
    connection.execute(sa.delete(ReconcileRun).where(old))


def _suspect() -> Insert:
    """What is suspicious both ways is looked at closely."""
    query = insert(ReconcileSuspect)
    return query.on_conflict_do_update(
        index_elements=["run_id", "table_name", "store", "key"],
        set_={"deep": sa.or_(ReconcileSuspect.deep, query.excluded.deep)},
    )


_SUSPECT: Final = _suspect()
_RECENT: Final = sa.func.now() - sa.text(f"interval '{RESUME_HOURS} hours'")
_MARK: Final = "\x01"


def _of(model: type[ReconcilePart] | type[ReconcileSuspect], part: Part) -> sa.ColumnElement[bool]:
    return sa.and_(*(getattr(model, name) == value for name, value in part.names.items()))


def _is_about(part: Part) -> sa.ColumnElement[bool]:
    return sa.and_(ReconcileFinding.table_name == part.table, ReconcileFinding.store == part.store)


def _any(keys: list[str]) -> sa.ColumnElement[Any]:
    return sa.any_(sa.cast([spelled(key) for key in keys], ARRAY(sa.Text)))


def _found(part: Part, wrong: Mapping[str, tuple[Kind, bool]]) -> Insert:
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


def _columns(progress: Progress) -> dict[str, Any]:
    return {
        "phase": progress.phase.value,
        "after_key": None if progress.after is None else spelled(progress.after),
        "counts": asdict(progress.counts),
    }
