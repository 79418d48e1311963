"""Users and business rules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def _clean(column: str) -> str:
    return (
        f"cardinality({column}) = 0 OR array_ndims({column}) = 1"
        f" AND array_position({column}, NULL) IS NULL AND array_position({column}, '') IS NULL"
    )


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("email", sa.String(255), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("department", sa.String(50), nullable=False),
        sa.Column("access_level", sa.Integer, server_default=sa.text("1"), nullable=False),
        sa.Column("is_active", sa.Boolean, server_default=sa.text("true"), nullable=False),
        sa.Column("phone", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("personal_info", sa.LargeBinary),
        sa.Column("contact_info", sa.LargeBinary),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.CheckConstraint("access_level >= 1 AND access_level <= 3", name=op.f("ck_users_access_level")),
    )
    op.create_index("idx_users_email", "users", ["email"], unique=True)
    op.create_index("idx_users_department", "users", ["department"])
    op.create_table(
        "business_rules",
        sa.Column("rule_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("category", sa.String(100), nullable=False),
        sa.Column("definition", pg.JSONB, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("applies_to_regions", pg.ARRAY(sa.Text), nullable=False),
        sa.Column("applies_to_industries", pg.ARRAY(sa.Text), nullable=False),
        sa.Column("valid_from", sa.Date),
        sa.Column("valid_to", sa.Date),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("rule_id", name="pk_business_rules"),
        sa.CheckConstraint(_clean("applies_to_regions"), name=op.f("ck_business_rules_applies_to_regions")),
        sa.CheckConstraint(
            _clean("applies_to_industries"), name=op.f("ck_business_rules_applies_to_industries")
        ),
        sa.CheckConstraint("valid_from <= valid_to", name=op.f("ck_business_rules_valid_dates")),
    )
    for table in ("users", "business_rules"):
        op.execute(f"""
            CREATE TRIGGER set_updated_at BEFORE UPDATE ON {table}
            FOR EACH ROW EXECUTE FUNCTION set_updated_at()
        """)


def downgrade() -> None:
    op.drop_table("business_rules")
    op.drop_table("users")
