"""Schema cdc, the publication, replica identities, and the two roles that read.

Roles belong to the whole cluster, grants to this database: a role that exists is taken as it is (its
password is set anew), and is dropped again only when no other database needs it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from psycopg import sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DEBEZIUM, PROCESSOR = "debezium_user", "aegis_processor"
POLICIES = (
    "policy_id, title, content, issuing_organization, target_regions, target_industries, funding_type, "
    "funding_amount_min, funding_amount_max, interest_rate, application_start_date, application_end_date, "
    "original_url, source_system, source_record_id, status, is_active, quality_score, created_at, updated_at"
)
USERS = "id, department, access_level, is_active, created_at, updated_at"


def upgrade() -> None:
    _tables()
    _publication()
    for role, attribute in ((DEBEZIUM, "REPLICATION"), (PROCESSOR, "")):
        _role(role, attribute)
        op.execute(f"GRANT SELECT ({POLICIES}) ON policies TO {role}")
        op.execute(f"GRANT SELECT ({USERS}) ON users TO {role}")
        op.execute(f"GRANT SELECT ON business_rules TO {role}")
    op.execute(f"GRANT USAGE ON SCHEMA cdc TO {DEBEZIUM}")
    op.execute(f"GRANT SELECT ON cdc.fence TO {DEBEZIUM}")
    op.execute(f"GRANT SELECT, UPDATE ON cdc.heartbeat TO {DEBEZIUM}")
    # an incremental snapshot writes its watermarks here
    op.execute(f"GRANT SELECT, INSERT, DELETE ON cdc.signal TO {DEBEZIUM}")


def _tables() -> None:
    op.execute("CREATE SCHEMA cdc")
    op.create_table(
        "heartbeat",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("ts", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_heartbeat"),
        schema="cdc",
    )
    op.execute("INSERT INTO cdc.heartbeat VALUES (1, now())")
    op.create_table(
        "signal",
        sa.Column("id", sa.String(42), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("data", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_signal"),
        schema="cdc",
    )
    op.create_table(
        "fence",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fence"),
        schema="cdc",
    )


def _publication() -> None:
    # a column list cannot be combined with FULL: what of policies must not leave, the connector leaves out
    op.execute("ALTER TABLE policies REPLICA IDENTITY FULL")
    op.execute("ALTER TABLE business_rules REPLICA IDENTITY FULL")
    op.execute(
        f"CREATE PUBLICATION aegis_publication FOR TABLE policies, business_rules, users ({USERS}), "
        "cdc.heartbeat, cdc.signal, cdc.fence WITH (publish = 'insert, update, delete, truncate')"
    )


def _role(role: str, attribute: str) -> None:
    connection = op.get_bind()
    exists = connection.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    verb = "ALTER" if exists else "CREATE"
    password = context.config.attributes["passwords"].get(role, "")
    statement = sql.SQL(f"{verb} ROLE {{}} LOGIN {attribute} PASSWORD {{}}").format(
        sql.Identifier(role), sql.Literal(password)
    )
    # by the driver's own cursor: SQLAlchemy would write the password to its log
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute(statement)


def downgrade() -> None:
    op.execute("DROP PUBLICATION aegis_publication")
    op.execute("ALTER TABLE policies REPLICA IDENTITY DEFAULT")
    op.execute("ALTER TABLE business_rules REPLICA IDENTITY DEFAULT")
    for role in (DEBEZIUM, PROCESSOR):
        op.execute(f"REVOKE ALL ON policies, users, business_rules FROM {role}")
        op.execute(f"REVOKE SELECT ({POLICIES}) ON policies FROM {role}")
        op.execute(f"REVOKE SELECT ({USERS}) ON users FROM {role}")
    op.execute("DROP SCHEMA cdc CASCADE")
    for role in (DEBEZIUM, PROCESSOR):
        op.execute(f"""
            DO $$ BEGIN
                DROP ROLE {role};
            EXCEPTION WHEN dependent_objects_still_exist OR object_in_use THEN
                RAISE NOTICE 'role {role} is used elsewhere and stays';
            END $$
        """)
