"""Policies: what a public programme offers, to whom, until when."""

from __future__ import annotations

from processor.rows import Row
from processor.tables.base import Edge, FieldType, Projection, Text, View
from sql.models import Policy

_DETAILS = {
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
}
_PUBLIC = {
    "policy_id": FieldType.KEYWORD,
    "title": FieldType.KOREAN,
    "content": FieldType.KOREAN,
    "issuing_organization": FieldType.KEYWORD,
    "target_regions": FieldType.KEYWORDS,
    "target_industries": FieldType.KEYWORDS,
    **_DETAILS,
}


def policy_text(row: Row) -> str:
    """What is embedded, one part a line; what the row does not state is left out."""
    low, high, rate = (
        row.get(name) for name in ("funding_amount_min", "funding_amount_max", "interest_rate")
    )
    amounts = ["지원금액:", _won(low), "~", _won(high)] if (low, high) != (None, None) else []
    parts = [
        *(row.get(name) or "" for name in ("title", "content", "issuing_organization")),
        " ".join(filter(None, amounts)),
        "" if rate is None else f"금리: {rate}%",
    ]
    return "\n".join(part for part in parts if part.strip())


def _won(amount: int | None) -> str:
    return "" if amount is None else f"{amount}원"


POLICIES = Projection(
    model=Policy.__table__,
    only_when={"status": "active", "is_active": True},
    views=(
        View(
            store="milvus",
            name="policy_embeddings",
            fields={
                "policy_id": FieldType.KEYWORD,
                "title": FieldType.KOREAN,
                "target_regions": FieldType.KEYWORDS,
                "target_industries": FieldType.KEYWORDS,
                "funding_amount_min": FieldType.LONG,
                "funding_amount_max": FieldType.LONG,
                "interest_rate": FieldType.DOUBLE,
                "created_at": FieldType.TIMESTAMP,
            },
            text=Text(
                columns=(
                    "title",
                    "content",
                    "issuing_organization",
                    "funding_amount_min",
                    "funding_amount_max",
                    "interest_rate",
                ),
                compose=policy_text,
            ),
        ),
        View(
            store="neo4j",
            name="Policy",
            fields={"policy_id": FieldType.KEYWORD, "title": FieldType.KOREAN, **_DETAILS},
            edges=(
                Edge("issuing_organization", "ISSUED_BY", "Organization", "name"),
                Edge("target_regions", "TARGETS_REGION", "Region", "code"),
                Edge("target_industries", "TARGETS_INDUSTRY", "Industry", "code"),
            ),
        ),
        View(store="elasticsearch", name="policies", fields=_PUBLIC),
        View(
            store="redis",
            name="policy",
            fields=_PUBLIC,
            optional=True,
            invalidates=(
                "policy_metadata:{policy_id}",
                "quality_score:{policy_id}",
                "policies:region:{target_regions}",
                "policies:industry:{target_industries}",
                "policies:organization:{issuing_organization}",
            ),
        ),
    ),
)
