"""Whatever changes policies and business rules leaves a row in the audit log."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = {"policies": ("policy_id", "{raw_data}"), "business_rules": ("rule_id", "{}")}
"""The key, and the columns whose values nobody may see."""
TRANSITIONS = {
    "INSERT": "NEW TABLE AS new_rows",
    "UPDATE": "OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "OLD TABLE AS old_rows",
}


def upgrade() -> None:
    # the digest tells two long values apart that begin alike
    op.execute("""
        CREATE FUNCTION audit_value(value jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
            SELECT CASE WHEN pg_column_size(value) <= 600 THEN value ELSE to_jsonb(
                left(value #>> '{}', 200) || '… (' || length(value #>> '{}') || ' characters, md5 '
                || md5(value #>> '{}') || ')'
            ) END
        $$
    """)
    for table, (key, private) in TABLES.items():
        _function(table, key, private)
        for event, transition in TRANSITIONS.items():
            op.execute(f"""
                CREATE TRIGGER audit_{event.lower()} AFTER {event} ON {table} REFERENCING {transition}
                FOR EACH STATEMENT EXECUTE FUNCTION audit_{table}()
            """)
        op.execute(f"""
            CREATE TRIGGER audit_truncate AFTER TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION audit_{table}()
        """)


def _function(table: str, key: str, private: str) -> None:
    # Once a statement: for each row it took five times as long in a COPY. It runs as its owner: whoever may
    # change a policy needs no right to the log, so cannot change what it says.
    # A changed key is a delete and an insert, as in the stream.
    pairs = f"old_rows o FULL JOIN new_rows n ON n.{key} = o.{key}"
    op.execute(f"""
        CREATE FUNCTION audit_{table}() RETURNS trigger LANGUAGE plpgsql
        SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
        BEGIN
            CASE TG_OP
            WHEN 'INSERT' THEN {_record(table, key, private, "NULL::jsonb, to_jsonb(n)", "new_rows n")}
            WHEN 'UPDATE' THEN {_record(table, key, private, "to_jsonb(o), to_jsonb(n)", pairs)}
            WHEN 'DELETE' THEN {_record(table, key, private, "to_jsonb(o), NULL::jsonb", "old_rows o")}
            ELSE
                INSERT INTO audit_logs (entity_type, action, actor, timestamp, metadata)
                VALUES ('{table}', 'truncate', {_ACTOR}, {_REST});
            END CASE;
            RETURN NULL;
        END $$
    """)


_ACTOR = "left(coalesce(nullif(current_setting('aegis.actor', true), ''), session_user), 255)"
# now() stands still within a transaction: the order of several changes of a key would be lost
_REST = "clock_timestamp(), jsonb_build_object('role', session_user)"


def _record(table: str, key: str, private: str, images: str, source: str) -> str:
    # an update that changes nothing but updated_at leaves no row
    return f"""
        INSERT INTO audit_logs (entity_type, entity_id, action, actor, changes, timestamp, metadata)
        SELECT '{table}', coalesce(before, after) ->> '{key}',
               CASE WHEN before IS NULL THEN 'insert' WHEN after IS NULL THEN 'delete' ELSE 'update' END,
               {_ACTOR}, difference.changes, {_REST}
        FROM (SELECT {images} FROM {source} OFFSET 0) AS images (before, after), LATERAL (
            SELECT jsonb_object_agg(key, CASE
                WHEN key = ANY ('{private}') THEN '{{"private": true}}'
                WHEN before IS NULL THEN jsonb_build_object('new', audit_value(n.value))
                WHEN after IS NULL THEN jsonb_build_object('old', audit_value(o.value))
                ELSE jsonb_build_object('old', audit_value(o.value), 'new', audit_value(n.value))
            END)
            FROM jsonb_each(before) o FULL JOIN jsonb_each(after) n USING (key)
            WHERE coalesce(o.value, 'null') <> coalesce(n.value, 'null') AND key <> 'updated_at'
        ) AS difference (changes)
        WHERE difference.changes IS NOT NULL;"""


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"DROP FUNCTION audit_{table}() CASCADE")
    op.execute("DROP FUNCTION audit_value(jsonb)")
