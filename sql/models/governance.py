"""Governance: runs of the pipeline, what became of each policy in them, its quality, and who changed what.

`policy_id` and `entity_id` are no foreign keys: what is told here outlives the row that it is about.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import Base, UuidKey, between, one_of

NOW = sa.text("now()")
TIME = sa.DateTime(timezone=True)
PATHS: Final = ("hot", "cold")
"""Ways of a record: one by one within a second, or in hourly batches."""


class PipelineMetadata(UuidKey, Base):
    """One run of the pipeline; `completed_at` is NULL while it goes on."""

    __tablename__ = "pipeline_metadata"
    __table_args__ = (
        sa.CheckConstraint(one_of("processing_path", PATHS), name="processing_path"),
        sa.CheckConstraint("records_processed >= 0", name="records_processed"),
        sa.CheckConstraint("records_failed >= 0", name="records_failed"),
        sa.Index("ix_pipeline_metadata_pipeline_run_id", "pipeline_run_id"),
        sa.Index("ix_pipeline_metadata_started_at", "started_at"),
    )

    pipeline_run_id: Mapped[str] = mapped_column(sa.String(255))
    processing_path: Mapped[str] = mapped_column(sa.String(10))
    started_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    completed_at: Mapped[datetime | None] = mapped_column(TIME)
    status: Mapped[str] = mapped_column(sa.String(30))
    records_processed: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    records_failed: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("0"))
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB)


class ProcessingHistory(UuidKey, Base):
    """What became of a policy when it was processed once."""

    __tablename__ = "processing_history"
    __table_args__ = (
        sa.CheckConstraint(one_of("processing_path", PATHS), name="processing_path"),
        sa.CheckConstraint(between("quality_score", 0, 1), name="quality_score"),
        sa.CheckConstraint("processing_time_ms >= 0", name="processing_time_ms"),
        sa.Index("ix_processing_history_policy_id", "policy_id"),
        sa.Index("ix_processing_history_processed_at", "processed_at"),
    )

    policy_id: Mapped[str] = mapped_column(sa.String(64, collation="C"))
    processing_path: Mapped[str] = mapped_column(sa.String(10))
    status: Mapped[str] = mapped_column(sa.String(30))
    quality_score: Mapped[float | None] = mapped_column(sa.Double)
    validation_errors: Mapped[list[Any] | dict[str, Any] | None] = mapped_column(JSONB)
    processed_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    processing_time_ms: Mapped[int | None] = mapped_column(sa.Integer)


SCORES: Final = ("total_score", "completeness", "accuracy", "consistency", "timeliness")


class QualityMetric(UuidKey, Base):
    """A policy's quality as it was once computed; every score is 0 to 1."""

    __tablename__ = "quality_metrics"
    __table_args__ = (
        *(sa.CheckConstraint(between(score, 0, 1), name=score) for score in SCORES),
        sa.Index("ix_quality_metrics_policy_id", "policy_id"),
        sa.Index("ix_quality_metrics_calculated_at", "calculated_at"),
    )

    policy_id: Mapped[str] = mapped_column(sa.String(64, collation="C"))
    total_score: Mapped[float] = mapped_column(sa.Double)
    completeness: Mapped[float | None] = mapped_column(sa.Double)
    accuracy: Mapped[float | None] = mapped_column(sa.Double)
    consistency: Mapped[float | None] = mapped_column(sa.Double)
    timeliness: Mapped[float | None] = mapped_column(sa.Double)
    calculated_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    calculation_method: Mapped[str | None] = mapped_column(sa.String(100))


class AuditLog(UuidKey, Base):
    """Who did what; no `entity_id`: to the table as a whole."""

    __tablename__ = "audit_logs"
    __table_args__ = (
        sa.Index("ix_audit_logs_entity_id", "entity_id"),
        sa.Index("ix_audit_logs_timestamp", "timestamp"),
    )

    entity_type: Mapped[str] = mapped_column(sa.String(100))
    entity_id: Mapped[str | None] = mapped_column(sa.String(255, collation="C"))
    action: Mapped[str] = mapped_column(sa.String(50))
    actor: Mapped[str] = mapped_column(sa.String(255))
    changes: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    timestamp: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB)
