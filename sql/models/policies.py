"""Policies: grants, guarantees and loans for companies and founders."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CAPTURED,
    MAX_LIST_BYTES,
    MAX_LONG_BYTES,
    MAX_URL_BYTES,
    PRIVATE,
    Base,
    Timestamps,
    at_most,
    clean_list,
)

STATUSES: Final = ("pending_validation", "active", "rejected", "archived")


class Policy(Timestamps, Base):
    """One programme as its source describes it, and how far validation has come."""

    __tablename__ = "policies"
    __table_args__ = (
        sa.UniqueConstraint("source_system", "source_record_id"),
        sa.CheckConstraint("title ~ '[^[:space:]]'", name="title"),
        sa.CheckConstraint(at_most(MAX_LONG_BYTES, "content"), name="content"),
        sa.CheckConstraint(at_most(MAX_URL_BYTES, "original_url"), name="original_url"),
        sa.CheckConstraint(clean_list("target_regions"), name="target_regions"),
        sa.CheckConstraint(clean_list("target_industries"), name="target_industries"),
        sa.CheckConstraint(at_most(MAX_LIST_BYTES, "target_regions::text"), name="target_regions_size"),
        sa.CheckConstraint(at_most(MAX_LIST_BYTES, "target_industries::text"), name="target_industries_size"),
        sa.CheckConstraint("funding_amount_min >= 0", name="funding_amount_min"),
        sa.CheckConstraint("funding_amount_max >= 0", name="funding_amount_max"),
        sa.CheckConstraint("funding_amount_min <= funding_amount_max", name="funding_amount"),
        sa.CheckConstraint("interest_rate >= 0 AND interest_rate <= 100", name="interest_rate"),
        sa.CheckConstraint("application_start_date <= application_end_date", name="application_dates"),
        sa.CheckConstraint(f"status IN ({', '.join(repr(status) for status in STATUSES)})", name="status"),
        sa.CheckConstraint("quality_score >= 0 AND quality_score <= 1", name="quality_score"),
        {"info": CAPTURED},
    )

    policy_id: Mapped[str] = mapped_column(sa.String(64, collation="C"), primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(500))
    content: Mapped[str] = mapped_column(sa.Text)
    issuing_organization: Mapped[str] = mapped_column(sa.String(200))
    target_regions: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    target_industries: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    funding_type: Mapped[str | None] = mapped_column(sa.String(50))
    funding_amount_min: Mapped[int | None] = mapped_column(sa.BigInteger)
    funding_amount_max: Mapped[int | None] = mapped_column(sa.BigInteger)
    interest_rate: Mapped[Decimal | None] = mapped_column(sa.Numeric(5, 2))
    application_start_date: Mapped[date | None] = mapped_column(sa.Date)
    application_end_date: Mapped[date | None] = mapped_column(sa.Date)
    original_url: Mapped[str | None] = mapped_column(sa.Text)
    source_system: Mapped[str] = mapped_column(sa.String(100))
    source_record_id: Mapped[str | None] = mapped_column(sa.String(255))
    raw_data: Mapped[dict[str, Any] | None] = mapped_column(JSONB, info=PRIVATE)
    status: Mapped[str] = mapped_column(sa.String(30))
    is_active: Mapped[bool] = mapped_column(sa.Boolean)
    quality_score: Mapped[float] = mapped_column(sa.Double)
