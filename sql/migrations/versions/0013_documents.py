"""Documents and the tree that they are filed in, captured; the outbox of published events, not yet."""

from __future__ import annotations

from alembic import context, op

from sql.migrate import Roles

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

CAPTURED = ("documents", "taxonomy_nodes", "doc_taxonomy")


def upgrade() -> None:
    _documents()
    _taxonomy()
    for table in CAPTURED:
        op.execute(f"ALTER TABLE {table} REPLICA IDENTITY FULL")
        op.execute(f"ALTER PUBLICATION aegis_publication ADD TABLE {table}")
        op.execute(f"GRANT SELECT ON {table} TO {', '.join(_roles())}")
    op.execute("""
        CREATE TABLE outbox_events (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            aggregatetype varchar(255) NOT NULL,
            aggregateid varchar(255) NOT NULL,
            type varchar(255) NOT NULL,
            payload jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_outbox_events PRIMARY KEY (id)
        )
    """)


def _documents() -> None:
    op.execute("""
        CREATE TABLE documents (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            title varchar(500) NOT NULL,
            content text NOT NULL,
            document_type varchar(50),
            source varchar(500) NOT NULL,
            access_level integer NOT NULL DEFAULT 1,
            department varchar(50),
            metadata jsonb,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_documents PRIMARY KEY (id),
            CONSTRAINT ck_documents_content CHECK (octet_length(content) <= 7340032),
            CONSTRAINT ck_documents_document_type CHECK (document_type IN ('PDF', 'DOCX', 'TXT', 'MARKDOWN')),
            CONSTRAINT ck_documents_access_level CHECK (access_level >= 1 AND access_level <= 3),
            CONSTRAINT ck_documents_metadata CHECK (octet_length(metadata::text) <= 524288)
        );
        CREATE INDEX idx_documents_access_level ON documents (access_level);
        CREATE INDEX idx_documents_department ON documents (department);
        CREATE INDEX idx_documents_metadata ON documents USING gin (metadata);
        CREATE TRIGGER set_updated_at BEFORE UPDATE ON documents
        FOR EACH ROW EXECUTE FUNCTION set_updated_at();
    """)


def _taxonomy() -> None:
    op.execute(f"""
        CREATE TABLE taxonomy_nodes (
            node_id uuid NOT NULL DEFAULT gen_random_uuid(),
            label varchar(200) NOT NULL,
            canonical_path text[] NOT NULL,
            version varchar(20) NOT NULL,
            confidence double precision NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_taxonomy_nodes PRIMARY KEY (node_id),
            CONSTRAINT uq_taxonomy_nodes_canonical_path_version UNIQUE (canonical_path, version),
            CONSTRAINT ck_taxonomy_nodes_canonical_path CHECK ({_path("canonical_path")}),
            CONSTRAINT ck_taxonomy_nodes_canonical_path_size
                CHECK (octet_length(canonical_path::text) <= 2000),
            CONSTRAINT ck_taxonomy_nodes_confidence CHECK (confidence >= 0 AND confidence <= 1)
        );
        CREATE INDEX idx_taxonomy_nodes_canonical_path ON taxonomy_nodes USING gin (canonical_path);
        CREATE TABLE doc_taxonomy (
            doc_id uuid NOT NULL,
            node_id uuid NOT NULL,
            version varchar(20) COLLATE "C" NOT NULL DEFAULT '1.0.0',
            path text[] NOT NULL,
            confidence double precision NOT NULL,
            hitl_required boolean NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_doc_taxonomy PRIMARY KEY (doc_id, node_id, version),
            CONSTRAINT fk_doc_taxonomy_doc_id
                FOREIGN KEY (doc_id) REFERENCES documents (id) ON DELETE CASCADE,
            CONSTRAINT fk_doc_taxonomy_node_id
                FOREIGN KEY (node_id) REFERENCES taxonomy_nodes (node_id) ON DELETE CASCADE,
            CONSTRAINT ck_doc_taxonomy_path CHECK ({_path("path")}),
            CONSTRAINT ck_doc_taxonomy_path_size CHECK (octet_length(path::text) <= 2000),
            CONSTRAINT ck_doc_taxonomy_confidence CHECK (confidence >= 0 AND confidence <= 1)
        );
        CREATE INDEX ix_doc_taxonomy_node_id ON doc_taxonomy (node_id);
        CREATE INDEX ix_doc_taxonomy_key ON doc_taxonomy (({_key()}));
    """)


def _path(column: str) -> str:
    return (
        f"cardinality({column}) BETWEEN 1 AND 50 AND array_ndims({column}) = 1"
        f" AND array_lower({column}, 1) = 1"
        f" AND array_position({column}, NULL) IS NULL AND array_position({column}, '') IS NULL"
    )


def _key() -> str:
    """The key as text, in whose order the stores give their records."""
    columns = {"doc_id": "doc_id::text", "node_id": "node_id::text", "version": "version"}
    escaped = "replace(replace(replace({}, '%', '%25'), ',', '%2C'), '=', '%3D')"
    parts = [
        f"'{',' if n else ''}{name}=' || {escaped.format(text)}"
        for n, (name, text) in enumerate(columns.items())
    ]
    return f'{" || ".join(parts)} COLLATE "C"'


def _roles() -> list[str]:
    roles: Roles = context.config.attributes["roles"]
    quote = op.get_bind().dialect.identifier_preparer.quote
    return [quote(role.name) for role in (roles.debezium, roles.processor)]


def downgrade() -> None:
    op.drop_table("outbox_events")
    for table in reversed(CAPTURED):
        op.drop_table(table)
