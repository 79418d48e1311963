"""Business rules: which regions and industries a rule of eligibility or priority applies to."""

from __future__ import annotations

from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CAPTURED,
    MAX_LIST_BYTES,
    MAX_LONG_BYTES,
    Base,
    Timestamps,
    at_most,
    clean_list,
)


class BusinessRule(Timestamps, Base):
    """A rule and where it applies; an empty list means everywhere."""

    __tablename__ = "business_rules"
    __table_args__ = (
        sa.CheckConstraint(clean_list("applies_to_regions"), name="applies_to_regions"),
        sa.CheckConstraint(clean_list("applies_to_industries"), name="applies_to_industries"),
        sa.CheckConstraint(at_most(MAX_LONG_BYTES, "definition::text"), name="definition"),
        sa.CheckConstraint(
            at_most(MAX_LIST_BYTES, "applies_to_regions::text"), name="applies_to_regions_size"
        ),
        sa.CheckConstraint(
            at_most(MAX_LIST_BYTES, "applies_to_industries::text"), name="applies_to_industries_size"
        ),
        sa.CheckConstraint("valid_from <= valid_to", name="valid_dates"),
        {"info": CAPTURED},
    )

    rule_id: Mapped[str] = mapped_column(sa.String(64, collation="C"), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(200))
    category: Mapped[str] = mapped_column(sa.String(100))
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    priority: Mapped[int] = mapped_column(sa.Integer)
    applies_to_regions: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    applies_to_industries: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    valid_from: Mapped[date | None] = mapped_column(sa.Date)
    valid_to: Mapped[date | None] = mapped_column(sa.Date)
    is_active: Mapped[bool] = mapped_column(sa.Boolean)
