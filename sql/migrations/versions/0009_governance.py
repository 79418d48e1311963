"""Governance: runs of the pipeline, the history and quality of policies, the audit log. Not captured."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCORES = ("total_score", "completeness", "accuracy", "consistency", "timeliness")


def upgrade() -> None:
    op.execute("""
        CREATE TABLE pipeline_metadata (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            pipeline_run_id varchar(255) NOT NULL,
            processing_path varchar(10) NOT NULL,
            started_at timestamptz NOT NULL DEFAULT now(),
            completed_at timestamptz,
            status varchar(30) NOT NULL,
            records_processed integer NOT NULL DEFAULT 0,
            records_failed integer NOT NULL DEFAULT 0,
            metadata jsonb,
            CONSTRAINT pk_pipeline_metadata PRIMARY KEY (id),
            CONSTRAINT ck_pipeline_metadata_processing_path CHECK (processing_path IN ('hot', 'cold')),
            CONSTRAINT ck_pipeline_metadata_records_processed CHECK (records_processed >= 0),
            CONSTRAINT ck_pipeline_metadata_records_failed CHECK (records_failed >= 0)
        );
        CREATE INDEX ix_pipeline_metadata_pipeline_run_id ON pipeline_metadata (pipeline_run_id);
        CREATE INDEX ix_pipeline_metadata_started_at ON pipeline_metadata (started_at);
    """)
    op.execute("""
        CREATE TABLE processing_history (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            policy_id varchar(64) COLLATE "C" NOT NULL,
            processing_path varchar(10) NOT NULL,
            status varchar(30) NOT NULL,
            quality_score double precision,
            validation_errors jsonb,
            processed_at timestamptz NOT NULL DEFAULT now(),
            processing_time_ms integer,
            CONSTRAINT pk_processing_history PRIMARY KEY (id),
            CONSTRAINT ck_processing_history_processing_path CHECK (processing_path IN ('hot', 'cold')),
            CONSTRAINT ck_processing_history_quality_score CHECK (quality_score >= 0 AND quality_score <= 1),
            CONSTRAINT ck_processing_history_processing_time_ms CHECK (processing_time_ms >= 0)
        );
        CREATE INDEX ix_processing_history_policy_id ON processing_history (policy_id);
        CREATE INDEX ix_processing_history_processed_at ON processing_history (processed_at);
    """)
    checks = ", ".join(
        f"CONSTRAINT ck_quality_metrics_{score} CHECK ({score} >= 0 AND {score} <= 1)" for score in SCORES
    )
    op.execute(f"""
        CREATE TABLE quality_metrics (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            policy_id varchar(64) COLLATE "C" NOT NULL,
            total_score double precision NOT NULL,
            completeness double precision,
            accuracy double precision,
            consistency double precision,
            timeliness double precision,
            calculated_at timestamptz NOT NULL DEFAULT now(),
            calculation_method varchar(100),
            CONSTRAINT pk_quality_metrics PRIMARY KEY (id),
            {checks}
        );
        CREATE INDEX ix_quality_metrics_policy_id ON quality_metrics (policy_id);
        CREATE INDEX ix_quality_metrics_calculated_at ON quality_metrics (calculated_at);
    """)
    op.execute("""
        CREATE TABLE audit_logs (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            entity_type varchar(100) NOT NULL,
            entity_id varchar(255) COLLATE "C",
            action varchar(50) NOT NULL,
            actor varchar(255) NOT NULL,
            changes jsonb,
            timestamp timestamptz NOT NULL DEFAULT now(),
            metadata jsonb,
            CONSTRAINT pk_audit_logs PRIMARY KEY (id)
        );
        CREATE INDEX ix_audit_logs_entity_id ON audit_logs (entity_id);
        CREATE INDEX ix_audit_logs_timestamp ON audit_logs (timestamp);
    """)


def downgrade() -> None:
    for table in ("audit_logs", "quality_metrics", "processing_history", "pipeline_metadata"):
        op.drop_table(table)
