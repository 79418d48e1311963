"""Users of the services that read the derived stores. Only their department and level leave the database."""

from __future__ import annotations

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import CAPTURED_BY_KEY, PERSONAL, PRIVATE, SEALED, Base, Timestamps


class User(Timestamps, Base):
    """A person with an access level from 1 (all staff) to 3 (management)."""

    __tablename__ = "users"
    __table_args__ = (
        sa.CheckConstraint("access_level >= 1 AND access_level <= 3", name="access_level"),
        sa.Index("idx_users_email", "email", unique=True),
        sa.Index("idx_users_department", "department"),
        {"info": {**CAPTURED_BY_KEY, **PERSONAL}},
    )

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, server_default=sa.text("gen_random_uuid()"))
    email: Mapped[str] = mapped_column(sa.String(255), info=PRIVATE)
    name: Mapped[str] = mapped_column(sa.String(100), info=PRIVATE)
    department: Mapped[str] = mapped_column(sa.String(50))
    access_level: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("1"))
    is_active: Mapped[bool] = mapped_column(sa.Boolean, server_default=sa.text("true"))
    phone: Mapped[str | None] = mapped_column(sa.Text, info=PRIVATE)
    address: Mapped[str | None] = mapped_column(sa.Text, info=PRIVATE)
    personal_info: Mapped[bytes | None] = mapped_column(sa.LargeBinary, info=SEALED)
    contact_info: Mapped[bytes | None] = mapped_column(sa.LargeBinary, info=SEALED)
