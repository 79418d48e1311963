"""Schema cdc, the publication, replica identities, and the two roles that read.

Roles belong to the whole cluster, grants to this database: a role that exists is taken as it is (its
password is set anew), and is dropped again only when no other database needs it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from psycopg import sql

from sql.migrate import Role, Roles

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

POLICIES = (
    "policy_id, title, content, issuing_organization, target_regions, target_industries, funding_type, "
    "funding_amount_min, funding_amount_max, interest_rate, application_start_date, application_end_date, "
    "original_url, source_system, source_record_id, status, is_active, quality_score, created_at, updated_at"
)
USERS = "id, department, access_level, is_active, created_at, updated_at"


def upgrade() -> None:
    roles = _roles()
    _tables()
    _publication()
    for role, attribute in ((roles.debezium, "REPLICATION"), (roles.processor, "")):
        _role(role, attribute)
        name = _quoted(role)
        op.execute(f"GRANT SELECT ({POLICIES}) ON policies TO {name}")
        op.execute(f"GRANT SELECT ({USERS}) ON users TO {name}")
        op.execute(f"GRANT SELECT ON business_rules TO {name}")
    debezium = _quoted(roles.debezium)
    op.execute(f"GRANT USAGE ON SCHEMA cdc TO {debezium}")
    op.execute(f"GRANT SELECT ON cdc.fence TO {debezium}")
    op.execute(f"GRANT SELECT, UPDATE ON cdc.heartbeat TO {debezium}")
    # an incremental snapshot writes its watermarks here
    op.execute(f"GRANT SELECT, INSERT, DELETE ON cdc.signal TO {debezium}")


def _roles() -> Roles:
    roles: Roles = context.config.attributes["roles"]
    return roles


def _quoted(role: Role) -> str:
    return op.get_bind().dialect.identifier_preparer.quote(role.name)


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


def _role(role: Role, attribute: str) -> None:
    connection = op.get_bind()
    # the driver's own connection: SQLAlchemy would write the password to its log
    driver = connection.connection.driver_connection
    assert driver is not None
    exists = connection.scalar(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role.name})
    statement = f"{'ALTER' if exists else 'CREATE'} ROLE {{}} LOGIN {attribute}"
    if not role.password:
        driver.execute(sql.SQL(statement).format(sql.Identifier(role.name)))
        return
    # as a verifier, so that it stands in no log of the server either
    verifier = driver.pgconn.encrypt_password(role.password.encode(), role.name.encode(), b"scram-sha-256")
    driver.execute(
        sql.SQL(f"{statement} PASSWORD {{}}").format(
            sql.Identifier(role.name), sql.Literal(verifier.decode())
        )
    )


def downgrade() -> None:
    roles = (_roles().debezium, _roles().processor)
    op.execute("DROP PUBLICATION aegis_publication")
    op.execute("ALTER TABLE policies REPLICA IDENTITY DEFAULT")
    op.execute("ALTER TABLE business_rules REPLICA IDENTITY DEFAULT")
    for role in roles:
        # takes the columns' privileges away too
        op.execute(f"REVOKE ALL ON policies, users, business_rules FROM {_quoted(role)}")
    op.execute("DROP SCHEMA cdc CASCADE")
    for role in roles:
        # stays when another database needs it, or when an administrator made it
        op.execute(f"""
            DO $$ BEGIN
                DROP ROLE {_quoted(role)};
            EXCEPTION WHEN dependent_objects_still_exist OR object_in_use OR insufficient_privilege THEN
                NULL;
            END $$
        """)
