"""Records of a source that could not become a row. Not captured."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE intake_letters (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            raw_record bytea NOT NULL,
            code varchar(10) NOT NULL,
            field varchar(100),
            reason text NOT NULL,
            attempts integer NOT NULL DEFAULT 1,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_intake_letters PRIMARY KEY (id),
            CONSTRAINT ck_intake_letters_attempts CHECK (attempts >= 1)
        );
        CREATE INDEX ix_intake_letters_created_at ON intake_letters (created_at);
        CREATE TRIGGER set_updated_at BEFORE UPDATE ON intake_letters
        FOR EACH ROW EXECUTE FUNCTION set_updated_at();
    """)


def downgrade() -> None:
    op.drop_table("intake_letters")
