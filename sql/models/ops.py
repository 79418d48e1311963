"""Tables of schema `ops`: what the reconciler remembers of its runs: keys of rows, never their values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import Base

TIME = sa.DateTime(timezone=True)
SCHEMA = {"schema": "ops"}


class ReconcileRun(Base):
    """One run; `ended_at` is NULL while it goes on, or waits to be continued by the next of its scope.

    `as_of_lsn`: where the log ended when it began. `scope`: what it was asked to look at. `turn`: which share
    of the keys it looks at deeply. `moved_at`: when it last came a step further.
    """

    __tablename__ = "reconcile_runs"
    __table_args__ = (sa.Index("ix_reconcile_runs_started_at", "started_at"), SCHEMA)

    run_id: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    scope: Mapped[str] = mapped_column(sa.Text)
    started_at: Mapped[datetime] = mapped_column(TIME, server_default=sa.text("now()"))
    ended_at: Mapped[datetime | None] = mapped_column(TIME)
    moved_at: Mapped[datetime] = mapped_column(TIME, server_default=sa.text("now()"))
    as_of_lsn: Mapped[int] = mapped_column(sa.BigInteger)
    turn: Mapped[int] = mapped_column(sa.Integer)
    exit_code: Mapped[int | None] = mapped_column(sa.Integer)
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class ReconcilePart(Base):
    """How far a run has come with one table in one store: `after_key` is the last key looked at."""

    __tablename__ = "reconcile_parts"
    __table_args__ = SCHEMA

    run_id: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    store: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    phase: Mapped[str] = mapped_column(sa.Text)
    after_key: Mapped[str | None] = mapped_column(sa.Text)
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB)


class ReconcileSuspect(Base):
    """A key that differed when it was compared once: it is not judged yet."""

    __tablename__ = "reconcile_suspects"
    __table_args__ = SCHEMA

    run_id: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    store: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    key: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    deep: Mapped[bool] = mapped_column(sa.Boolean)


class ReconcileFinding(Base):
    """A record that is known to be wrong, or could not be verified, since `first_seen`; `run_id` saw it last.

    `deep`: only a comparison of every field tells.
    """

    __tablename__ = "reconcile_findings"
    __table_args__ = SCHEMA

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    store: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    key: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    kind: Mapped[str] = mapped_column(sa.Text)
    deep: Mapped[bool] = mapped_column(sa.Boolean)
    first_seen: Mapped[datetime] = mapped_column(TIME, server_default=sa.text("now()"))
    last_seen: Mapped[datetime] = mapped_column(TIME, server_default=sa.text("now()"))
    run_id: Mapped[str] = mapped_column(sa.Text)


class ReconcileSuccess(Base):
    """When a table was last found right in a store, all of it, or all of one share (`i/n`) of its keys."""

    __tablename__ = "reconcile_successes"
    __table_args__ = SCHEMA

    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    store: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    shard: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    at: Mapped[datetime] = mapped_column(TIME, server_default=sa.text("now()"))
    as_of_lsn: Mapped[int] = mapped_column(sa.BigInteger)
    run_id: Mapped[str] = mapped_column(sa.Text)


class ReconcileRepair(Base):
    """A finding that a run has healed, and found right afterwards."""

    __tablename__ = "reconcile_repairs"
    __table_args__ = SCHEMA

    run_id: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    table_name: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    store: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    key: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    kind: Mapped[str] = mapped_column(sa.Text)
    first_seen: Mapped[datetime] = mapped_column(TIME)
    repaired_at: Mapped[datetime] = mapped_column(TIME, server_default=sa.text("now()"))


class Epoch(Base):
    """Which PostgreSQL the positions in versions of an epoch belong to: the first one that a run met."""

    __tablename__ = "epochs"
    __table_args__ = SCHEMA

    epoch: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    system_identifier: Mapped[str] = mapped_column(sa.Text)
    timeline: Mapped[int] = mapped_column(sa.Integer)
    recorded_at: Mapped[datetime] = mapped_column(TIME, server_default=sa.text("now()"))
