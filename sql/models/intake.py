"""Dead letters of the intake: records of a source that could not become a row."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import Base, Timestamps, UuidKey


class IntakeLetter(UuidKey, Timestamps, Base):
    """A record as it came, what is wrong with it, how often it was tried; last at `updated_at`."""

    __tablename__ = "intake_letters"
    __table_args__ = (
        sa.CheckConstraint("attempts >= 1", name="attempts"),
        sa.Index("ix_intake_letters_created_at", "created_at"),
    )

    # bytes: it may be no UTF-8, or hold NUL, which no text of PostgreSQL can
    raw_record: Mapped[bytes] = mapped_column(sa.LargeBinary)
    code: Mapped[str] = mapped_column(sa.String(10))
    field: Mapped[str | None] = mapped_column(sa.String(100))
    reason: Mapped[str] = mapped_column(sa.Text)
    attempts: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("1"))
