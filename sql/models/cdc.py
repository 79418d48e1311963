"""Tables of schema `cdc`: what change data capture itself writes and reads."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import Base


class Heartbeat(Base):
    """One row that the connector touches every second, so that its slot moves also when nothing else does."""

    __tablename__ = "heartbeat"
    __table_args__ = {"schema": "cdc"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    ts: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class Signal(Base):
    """Orders to the connector, such as an incremental snapshot; the columns are Debezium's."""

    __tablename__ = "signal"
    __table_args__ = {"schema": "cdc"}  # noqa: RUF012

    id: Mapped[str] = mapped_column(sa.String(42), primary_key=True)
    type: Mapped[str] = mapped_column(sa.String(32))
    data: Mapped[str | None] = mapped_column(sa.Text)


class Fence(Base):
    """Markers whose only purpose is to be committed: a position in the log that the stores must pass."""

    __tablename__ = "fence"
    __table_args__ = {"schema": "cdc"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.text("now()"))
