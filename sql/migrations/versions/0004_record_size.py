"""Bounds that keep every change within a Kafka record of 16 MiB; it carries the row before and after."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LONG, LIST, URL = 7_340_032, 262_144, 65_536
CHECKS = {
    "policies": {
        "content": f"octet_length(content) <= {LONG}",
        "original_url": f"octet_length(original_url) <= {URL}",
        "target_regions_size": f"octet_length(target_regions::text) <= {LIST}",
        "target_industries_size": f"octet_length(target_industries::text) <= {LIST}",
    },
    "business_rules": {
        "definition": f"octet_length(definition::text) <= {LONG}",
        "applies_to_regions_size": f"octet_length(applies_to_regions::text) <= {LIST}",
        "applies_to_industries_size": f"octet_length(applies_to_industries::text) <= {LIST}",
    },
}


def upgrade() -> None:
    for table, checks in CHECKS.items():
        for name, condition in checks.items():
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)


def downgrade() -> None:
    for table, checks in CHECKS.items():
        for name in checks:
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table)
