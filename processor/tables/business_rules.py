"""Business rules: which regions and industries a rule applies to. Readers reach policies through those."""

from __future__ import annotations

from processor.tables.base import Edge, FieldType, Projection, View
from sql.models import BusinessRule

_RULE = {
    "rule_id": FieldType.KEYWORD,
    "name": FieldType.KOREAN,
    "category": FieldType.KEYWORD,
    "definition": FieldType.STORED,
    "priority": FieldType.LONG,
    "valid_from": FieldType.DATE,
    "valid_to": FieldType.DATE,
    "created_at": FieldType.TIMESTAMP,
    "updated_at": FieldType.TIMESTAMP,
}

BUSINESS_RULES = Projection(
    model=BusinessRule.__table__,
    only_when={"is_active": True},
    views=(
        View(
            store="neo4j",
            name="BusinessRule",
            fields=_RULE,
            edges=(
                Edge("applies_to_regions", "APPLIES_TO", "Region", "code"),
                Edge("applies_to_industries", "APPLIES_TO", "Industry", "code"),
            ),
        ),
        View(
            store="redis",
            name="business_rule",
            fields={
                **_RULE,
                "applies_to_regions": FieldType.KEYWORDS,
                "applies_to_industries": FieldType.KEYWORDS,
            },
            optional=True,
            invalidates=(
                "business_rules:region:{applies_to_regions}",
                "business_rules:industry:{applies_to_industries}",
            ),
        ),
    ),
)
