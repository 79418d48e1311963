"""Readers of the cache show a policy's quality as it was computed last."""

from __future__ import annotations

from alembic import context, op

from sql.migrate import Roles

revision = "0020"
down_revision = "0013"
branch_labels = None
depends_on = None

COLUMNS = "id, policy_id, total_score, calculated_at"


def upgrade() -> None:
    op.execute(f"GRANT SELECT ({COLUMNS}) ON quality_metrics TO {_processor()}")


def downgrade() -> None:
    op.execute(f"REVOKE SELECT ({COLUMNS}) ON quality_metrics FROM {_processor()}")


def _processor() -> str:
    roles: Roles = context.config.attributes["roles"]
    return op.get_bind().dialect.identifier_preparer.quote(roles.processor.name)
