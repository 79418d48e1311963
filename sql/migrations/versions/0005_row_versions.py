"""The processor reads `xmin` and `xmax`: who wrote a row's version, and who is removing or locking it.

Rights on columns do not include these two of the system's; without them a row cannot be read again safely.
"""

from __future__ import annotations

from alembic import context, op

from sql.migrate import Roles

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("policies", "users")
"""Those whose columns are granted one by one."""


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"GRANT SELECT (xmin, xmax) ON {table} TO {_processor()}")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"REVOKE SELECT (xmin, xmax) ON {table} FROM {_processor()}")


def _processor() -> str:
    roles: Roles = context.config.attributes["roles"]
    return op.get_bind().dialect.identifier_preparer.quote(roles.processor.name)
