"""Policies: what a public programme offers, to whom, until when."""

from __future__ import annotations

from processor.tables.base import FieldType, Projection, View
from sql.models import Policy

POLICIES = Projection(
    model=Policy.__table__,
    only_when={"status": "active", "is_active": True},
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
