"""What the reconciler remembers in PostgreSQL, so that a killed run goes on and findings have an age.

After every step, what was seen and how far it has come are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from processor.database import engine_of, explaining, make_engine
from processor.errors import SourceError
from processor.settings import PostgresSettings
from reconciler.counts import Counts, Kind
from reconciler.errors import Overlapping, StoppedEarly
from reconciler.identity import Identity
from reconciler.progress import Part, Phase, Progress
from reconciler.shard import Shard
from reconciler.statements import (
    ADD_SUSPECT,
    RECENT,
    add_findings,
    add_repairs,
    any_of,
    columns_of,
    forget_runs,
    is_about,
    of_part,
    save_progress,
    shares_keys,
    spelled,
    unspelled,
)
from sql.models import (
    Epoch,
    ReconcileFinding,
    ReconcilePart,
    ReconcileRun,
    ReconcileSuccess,
    ReconcileSuspect,
)
from sql.queries import QUERIES


@dataclass(frozen=True, slots=True)
class Run:
    """A run; `turn`: how many of its scope have ended before; `resumed`: begun by an earlier process."""

    run_id: str
    as_of_lsn: int
    turn: int
    started_at: datetime
    resumed: bool


class State:
    """Schema `ops`, as the owner. Every method raises SourceError when PostgreSQL does not answer."""

    def __init__(self, settings: PostgresSettings) -> None:
        self._url = settings.url()
        self._engine = make_engine(self._url)
        self._lock: sa.Connection | None = None
        self._mutex = Lock()

    @contextmanager
    def locked(self, shard: Shard) -> Iterator[None]:
        """Alone: one run of all keys, or one for each share. Once the lock is lost, nothing is written.

        Raises:
            Overlapping: another run is at work.
        """
        # of no pool: the lock ends with the connection
        with engine_of(self._url) as engine, engine.connect() as connection:
            free = connection.scalar(
                sa.text(QUERIES["lock_run"]),
                {"shared": shard.count > 1, "shard": f"shard {shard}", "count": shard.count},
            )
            if not free or connection.scalar(sa.text(QUERIES["other_shares"]), {"count": shard.count}):
                raise Overlapping("another reconciler is at work", hint="wait for it, or end it by SIGTERM")
            connection.commit()
            self._lock = connection
            try:
                yield
            finally:
                self._lock = None

    def begin(self, scope: str, shard: Shard, as_of_lsn: int, fresh: bool) -> Run:
        """Go on with the last run of this scope if it has not ended, else begin one.

        Others that have looked at the same keys are given up: what they have found is judged anew here.
        """
        of_scope = ReconcileRun.scope == scope
        columns = (ReconcileRun.run_id, ReconcileRun.as_of_lsn, ReconcileRun.turn, ReconcileRun.started_at)
        latest = sa.select(*columns).order_by(ReconcileRun.started_at.desc()).limit(1)
        open_run = latest.where(of_scope, ReconcileRun.ended_at.is_(None), ReconcileRun.moved_at > RECENT)
        with self._writing() as connection:
            found = connection.execute(open_run).one_or_none()
            kept = found.run_id if found is not None and not fresh else None
            given_up = sa.update(ReconcileRun).where(ReconcileRun.ended_at.is_(None), shares_keys(shard))
            if kept is not None:
                given_up = given_up.where(ReconcileRun.run_id != kept)
            connection.execute(given_up.values(ended_at=sa.func.now(), exit_code=StoppedEarly.exit_code))
            if found is not None and kept is not None:
                return Run(*found, resumed=True)
            # a refused repair has looked at its share as well
            last = latest.where(
                of_scope, ReconcileRun.exit_code.in_((0, 1, 2, 4)), ReconcileRun.report.is_not(None)
            )
            turn = next((run.turn + 1 for run in connection.execute(last)), 0)
            values = {"run_id": uuid4().hex, "scope": scope, "as_of_lsn": as_of_lsn, "turn": turn}
            made = connection.execute(sa.insert(ReconcileRun).values(values).returning(*columns)).one()
            forget_runs(connection)
            return Run(*made, resumed=False)

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
            found = connection.execute(sa.select(*columns).where(of_part(ReconcilePart, part))).one_or_none()
            if found is not None:
                return Progress(Phase(found[0]), unspelled(found[1]), Counts(**found[2]))
            progress = Progress(Phase.BULK, None, Counts())
            connection.execute(sa.insert(ReconcilePart).values(**part.names, **columns_of(progress)))
            known = sa.select(
                sa.literal(part.run_id),
                ReconcileFinding.table_name,
                ReconcileFinding.store,
                ReconcileFinding.key,
                ReconcileFinding.deep,
            ).where(is_about(part), shard.condition(sa.type_coerce(ReconcileFinding.key, sa.Text)))
            names = [*part.names, "key", "deep"]
            connection.execute(sa.insert(ReconcileSuspect).from_select(names, known))
            return progress

    def save(self, part: Part, progress: Progress, suspects: Iterable[str] = (), deep: bool = False) -> int:
        """One step further, with the suspects that it has found; returns how many there are.

        `deep`: only whole rows tell.
        """
        rows = [{**part.names, "key": spelled(key), "deep": deep} for key in suspects]
        count = (
            sa.select(sa.func.count()).select_from(ReconcileSuspect).where(of_part(ReconcileSuspect, part))
        )
        with self._writing() as connection:
            if rows:
                connection.execute(ADD_SUSPECT, rows)
            save_progress(connection, part, progress)
            return int(connection.execute(count).scalar_one())

    def suspects(self, part: Part) -> list[tuple[str, bool]]:
        """(key, deep) of those that are not judged yet."""
        query = sa.select(ReconcileSuspect.key, ReconcileSuspect.deep).where(of_part(ReconcileSuspect, part))
        with self._writing() as connection:
            return [(str(unspelled(key)), deep) for key, deep in connection.execute(query)]

    def judge(
        self,
        part: Part,
        progress: Progress,
        right: list[str],
        wrong: Mapping[str, tuple[Kind, bool]],
        healed: bool = False,
    ) -> None:
        """Verdicts: keys that are right, and the others with their kind and whether only whole rows tell.

        `healed`: those that are right were findings, and this run has repaired them.
        """
        suspects = sa.delete(ReconcileSuspect).where(of_part(ReconcileSuspect, part))
        findings = sa.delete(ReconcileFinding).where(is_about(part))
        with self._writing() as connection:
            connection.execute(suspects.where(ReconcileSuspect.key == any_of([*right, *wrong])))
            if healed:
                connection.execute(add_repairs(part, right))
            connection.execute(findings.where(ReconcileFinding.key == any_of(right)))
            if wrong:
                connection.execute(add_findings(part, wrong))
            save_progress(connection, part, progress)

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

    def findings(self, part: Part, kinds: Iterable[Kind]) -> dict[str, bool]:
        """Keys that the part's run has found to be one of `kinds`, and whether only whole rows tell."""
        query = sa.select(ReconcileFinding.key, ReconcileFinding.deep).where(
            of_part(ReconcileFinding, part), ReconcileFinding.kind.in_([kind.value for kind in kinds])
        )
        with self._writing() as connection:
            return {str(unspelled(key)): deep for key, deep in connection.execute(query)}

    def recorded(self, epoch: int, found: Identity) -> Identity:
        """The PostgreSQL that an epoch's positions belong to: from now on `found`, if there was none."""
        values = {"epoch": epoch, "system_identifier": found.system, "timeline": found.timeline}
        known = sa.select(Epoch.system_identifier, Epoch.timeline).where(Epoch.epoch == epoch)
        with self._writing() as connection:
            connection.execute(insert(Epoch).values(values).on_conflict_do_nothing())
            return Identity(*connection.execute(known).one())

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with explaining(self._url):
            if self._lock is not None:
                with self._mutex:
                    if self._lock.invalidated:  # a new connection would not have it
                        raise SourceError("the lock of this run was lost", hint="the same command again")
                    self._lock.execute(sa.select(1))
                    self._lock.commit()
            with self._engine.begin() as connection:
                yield connection

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()
