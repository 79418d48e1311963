"""Batches of images to be read (OCR). Not captured."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STATUS = "status IN ('PENDING', 'STARTED', 'SUCCESS', 'RUNNING', 'FAILURE', 'RETRY', 'REVOKED')"
TABLES = ("batch_executions", "chain_executions", "task_logs", "ocr_executions", "ocr_text_boxes")


def upgrade() -> None:
    _batches()
    op.execute(f"""
        CREATE TABLE task_logs (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            task_id varchar(255) NOT NULL,
            chain_execution_id uuid NOT NULL,
            status varchar(20) NOT NULL,
            error text,
            CONSTRAINT pk_task_logs PRIMARY KEY (id),
            CONSTRAINT uq_task_logs_task_id UNIQUE (task_id),
            CONSTRAINT fk_task_logs_chain_execution_id
                FOREIGN KEY (chain_execution_id) REFERENCES chain_executions (id),
            CONSTRAINT ck_task_logs_status CHECK ({STATUS})
        );
        CREATE INDEX ix_task_logs_chain_execution_id ON task_logs (chain_execution_id);
    """)
    op.execute("""
        CREATE TABLE ocr_executions (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            chain_execution_id uuid NOT NULL,
            image_path varchar(500) NOT NULL,
            public_path varchar(500),
            status varchar(10) NOT NULL,
            error text,
            CONSTRAINT pk_ocr_executions PRIMARY KEY (id),
            CONSTRAINT uq_ocr_executions_image_path UNIQUE (image_path),
            CONSTRAINT uq_ocr_executions_public_path UNIQUE (public_path),
            CONSTRAINT fk_ocr_executions_chain_execution_id
                FOREIGN KEY (chain_execution_id) REFERENCES chain_executions (id),
            CONSTRAINT ck_ocr_executions_status CHECK (status IN ('success', 'failed'))
        );
        CREATE INDEX ix_ocr_executions_chain_execution_id ON ocr_executions (chain_execution_id);
    """)
    op.execute("""
        CREATE TABLE ocr_text_boxes (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            ocr_execution_id uuid NOT NULL,
            text text NOT NULL,
            confidence double precision NOT NULL,
            bbox jsonb NOT NULL,
            CONSTRAINT pk_ocr_text_boxes PRIMARY KEY (id),
            CONSTRAINT fk_ocr_text_boxes_ocr_execution_id
                FOREIGN KEY (ocr_execution_id) REFERENCES ocr_executions (id) ON DELETE CASCADE,
            CONSTRAINT ck_ocr_text_boxes_confidence CHECK (confidence >= 0 AND confidence <= 1)
        );
        CREATE INDEX ix_ocr_text_boxes_ocr_execution_id ON ocr_text_boxes (ocr_execution_id);
    """)


def _batches() -> None:
    op.execute(f"""
        CREATE TABLE batch_executions (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            batch_id varchar(255) NOT NULL,
            status varchar(20) NOT NULL,
            total_images integer NOT NULL DEFAULT 0,
            completed_images integer NOT NULL DEFAULT 0,
            failed_images integer NOT NULL DEFAULT 0,
            started_at timestamptz,
            completed_at timestamptz,
            CONSTRAINT pk_batch_executions PRIMARY KEY (id),
            CONSTRAINT uq_batch_executions_batch_id UNIQUE (batch_id),
            CONSTRAINT ck_batch_executions_status CHECK ({STATUS}),
            CONSTRAINT ck_batch_executions_completed_images CHECK (completed_images >= 0),
            CONSTRAINT ck_batch_executions_failed_images CHECK (failed_images >= 0),
            CONSTRAINT ck_batch_executions_total_images
                CHECK (completed_images::bigint + failed_images <= total_images)
        )
    """)
    op.execute(f"""
        CREATE TABLE chain_executions (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            batch_execution_id uuid NOT NULL,
            status varchar(20) NOT NULL,
            total_tasks integer NOT NULL DEFAULT 0,
            completed_tasks integer NOT NULL DEFAULT 0,
            failed_tasks integer NOT NULL DEFAULT 0,
            CONSTRAINT pk_chain_executions PRIMARY KEY (id),
            CONSTRAINT fk_chain_executions_batch_execution_id
                FOREIGN KEY (batch_execution_id) REFERENCES batch_executions (id),
            CONSTRAINT ck_chain_executions_status CHECK ({STATUS}),
            CONSTRAINT ck_chain_executions_completed_tasks CHECK (completed_tasks >= 0),
            CONSTRAINT ck_chain_executions_failed_tasks CHECK (failed_tasks >= 0),
            CONSTRAINT ck_chain_executions_total_tasks
                CHECK (completed_tasks::bigint + failed_tasks <= total_tasks)
        );
        CREATE INDEX ix_chain_executions_batch_execution_id ON chain_executions (batch_execution_id);
    """)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
