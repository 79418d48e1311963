"""What the reconciler remembers, and keys in the order of their bytes.

Stores give their records in byte order: reading a table in the same order needs keys that are compared so.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KEYS = {"policies": "policy_id", "business_rules": "rule_id"}
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for table, key in KEYS.items():
        op.execute(f'ALTER TABLE {table} ALTER COLUMN {key} TYPE varchar(64) COLLATE "C"')
    op.execute("CREATE SCHEMA ops")
    _runs()
    _findings()


def _runs() -> None:
    op.create_table(
        "reconcile_runs",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("started_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("moved_at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("as_of_lsn", sa.BigInteger, nullable=False),
        sa.Column("turn", sa.Integer, nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("report", JSONB),
        sa.PrimaryKeyConstraint("run_id", name="pk_reconcile_runs"),
        schema="ops",
    )
    op.create_index("ix_reconcile_runs_started_at", "reconcile_runs", ["started_at"], schema="ops")
    op.create_table(
        "reconcile_parts",
        *_part(),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("after_key", sa.Text),
        sa.Column("counts", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "table_name", "store", name="pk_reconcile_parts"),
        schema="ops",
    )
    op.create_table(
        "reconcile_suspects",
        *_part(),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("deep", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "table_name", "store", "key", name="pk_reconcile_suspects"),
        schema="ops",
    )


def _part() -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in ("run_id", "table_name", "store")]


def _findings() -> None:
    op.create_table(
        "reconcile_findings",
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("store", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("deep", sa.Boolean, nullable=False),
        sa.Column("first_seen", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("table_name", "store", "key", name="pk_reconcile_findings"),
        schema="ops",
    )
    op.create_table(
        "reconcile_successes",
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("store", sa.Text, nullable=False),
        sa.Column("shard", sa.Text, nullable=False),
        sa.Column("at", TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("as_of_lsn", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("table_name", "store", "shard", name="pk_reconcile_successes"),
        schema="ops",
    )


def downgrade() -> None:
    op.execute("DROP SCHEMA ops CASCADE")
    for table, key in KEYS.items():
        op.execute(f'ALTER TABLE {table} ALTER COLUMN {key} TYPE varchar(64) COLLATE "default"')
