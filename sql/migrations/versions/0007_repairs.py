"""What repairs have healed, and which PostgreSQL an epoch belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "epochs",
        sa.Column("epoch", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("system_identifier", sa.Text, nullable=False),
        sa.Column("timeline", sa.Integer, nullable=False),
        sa.Column("recorded_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("epoch", name="pk_epochs"),
        schema="ops",
    )
    names = ("run_id", "table_name", "store", "key")
    op.create_table(
        "reconcile_repairs",
        *(sa.Column(name, sa.Text, nullable=False) for name in names),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("first_seen", TIME, nullable=False),
        sa.Column("repaired_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint(*names, name="pk_reconcile_repairs"),
        schema="ops",
    )


def downgrade() -> None:
    op.drop_table("reconcile_repairs", schema="ops")
    op.drop_table("epochs", schema="ops")
