"""Policies: what a public programme offers, to whom, until when."""

from __future__ import annotations

from processor.rows import Row
from processor.tables.base import FieldType, Projection, View
from sql.models import Policy


def is_projected(row: Row) -> bool:
    """Readers see a policy only while it is active."""
    return row.get("status") == "active" and row.get("is_active") is True


POLICIES = Projection(
    model=Policy.__table__,
    predicate=is_projected,
    predicate_columns=("status", "is_active"),
    views=(
        View(
            store="elasticsearch",
            name="policies",
            fields={
                "policy_id": FieldType.KEYWORD,
                "title": FieldType.KOREAN,
                "content": FieldType.KOREAN,
                "issuing_organization": FieldType.KEYWORD,
                "target_regions": FieldType.KEYWORD,
                "target_industries": FieldType.KEYWORD,
                "funding_type": FieldType.KEYWORD,
                "funding_amount_min": FieldType.LONG,
                "funding_amount_max": FieldType.LONG,
                "interest_rate": FieldType.DOUBLE,
                "application_start_date": FieldType.DATE,
                "application_end_date": FieldType.DATE,
                "original_url": FieldType.STORED,
                "source_system": FieldType.KEYWORD,
                "quality_score": FieldType.DOUBLE,
                "created_at": FieldType.TIMESTAMP,
                "updated_at": FieldType.TIMESTAMP,
            },
        ),
    ),
)
