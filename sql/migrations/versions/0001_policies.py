"""Policies, and the function that keeps updated_at true."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def _clean(column: str) -> str:
    return (
        f"cardinality({column}) = 0 OR array_ndims({column}) = 1"
        f" AND array_position({column}, NULL) IS NULL AND array_position({column}, '') IS NULL"
    )


def upgrade() -> None:
    op.execute("""
        CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at := now();
            RETURN NEW;
        END $$
    """)
    op.create_table(
        "policies",
        sa.Column("policy_id", sa.String(64), nullable=False),
        sa.Column("title", sa.String(500), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("issuing_organization", sa.String(200), nullable=False),
        sa.Column("target_regions", pg.ARRAY(sa.Text), nullable=False),
        sa.Column("target_industries", pg.ARRAY(sa.Text), nullable=False),
        sa.Column("funding_type", sa.String(50)),
        sa.Column("funding_amount_min", sa.BigInteger),
        sa.Column("funding_amount_max", sa.BigInteger),
        sa.Column("interest_rate", sa.Numeric(5, 2)),
        sa.Column("application_start_date", sa.Date),
        sa.Column("application_end_date", sa.Date),
        sa.Column("original_url", sa.Text),
        sa.Column("source_system", sa.String(100), nullable=False),
        sa.Column("source_record_id", sa.String(255)),
        sa.Column("raw_data", pg.JSONB),
        sa.Column("status", sa.String(30), nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("quality_score", sa.Double, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("policy_id", name="pk_policies"),
        sa.UniqueConstraint(
            "source_system", "source_record_id", name="uq_policies_source_system_source_record_id"
        ),
        sa.CheckConstraint("title ~ '[^[:space:]]'", name=op.f("ck_policies_title")),
        sa.CheckConstraint(_clean("target_regions"), name=op.f("ck_policies_target_regions")),
        sa.CheckConstraint(_clean("target_industries"), name=op.f("ck_policies_target_industries")),
        sa.CheckConstraint("funding_amount_min >= 0", name=op.f("ck_policies_funding_amount_min")),
        sa.CheckConstraint("funding_amount_max >= 0", name=op.f("ck_policies_funding_amount_max")),
        sa.CheckConstraint(
            "funding_amount_min <= funding_amount_max", name=op.f("ck_policies_funding_amount")
        ),
        sa.CheckConstraint(
            "interest_rate >= 0 AND interest_rate <= 100", name=op.f("ck_policies_interest_rate")
        ),
        sa.CheckConstraint(
            "application_start_date <= application_end_date", name=op.f("ck_policies_application_dates")
        ),
        sa.CheckConstraint(
            "status IN ('pending_validation', 'active', 'rejected', 'archived')",
            name=op.f("ck_policies_status"),
        ),
        sa.CheckConstraint(
            "quality_score >= 0 AND quality_score <= 1", name=op.f("ck_policies_quality_score")
        ),
    )
    op.execute("""
        CREATE TRIGGER set_updated_at BEFORE UPDATE ON policies
        FOR EACH ROW EXECUTE FUNCTION set_updated_at()
    """)


def downgrade() -> None:
    op.drop_table("policies")
    op.execute("DROP FUNCTION set_updated_at()")
