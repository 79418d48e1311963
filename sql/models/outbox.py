"""Events for others, written in the transaction that they tell of. A connector of its own publishes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import Base, UuidKey


class OutboxEvent(UuidKey, Base):
    """One event; it is removed in the transaction that writes it, so the table stays empty."""

    __tablename__ = "outbox_events"

    aggregatetype: Mapped[str] = mapped_column(sa.String(255))
    aggregateid: Mapped[str] = mapped_column(sa.String(255))
    type: Mapped[str] = mapped_column(sa.String(255))
    payload: Mapped[Any] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.text("now()"))
