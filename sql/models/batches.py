"""Batches of images to be read (OCR): batch -> chains -> tasks and images -> the text boxes of an image.

A status is a checked text, not a PostgreSQL enum: a value added to an enum cannot be taken away by a
downgrade, nor be used before the transaction that adds it commits, and all migrations run in one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from sql.models.base import Base, UuidKey, between, one_of

TIME = sa.DateTime(timezone=True)
ZERO = sa.text("0")
STATUSES: Final = ("PENDING", "STARTED", "SUCCESS", "RUNNING", "FAILURE", "RETRY", "REVOKED")
OUTCOMES: Final = ("success", "failed")


def _counters(total: str, completed: str, failed: str) -> tuple[sa.CheckConstraint, ...]:
    return (
        sa.CheckConstraint(f"{completed} >= 0", name=completed),
        sa.CheckConstraint(f"{failed} >= 0", name=failed),
        # in 64 bits: the sum of two integers may overflow
        sa.CheckConstraint(f"{completed}::bigint + {failed} <= {total}", name=total),
    )


class BatchExecution(UuidKey, Base):
    """Images that are read together."""

    __tablename__ = "batch_executions"
    __table_args__ = (
        sa.UniqueConstraint("batch_id"),
        sa.CheckConstraint(one_of("status", STATUSES), name="status"),
        *_counters("total_images", "completed_images", "failed_images"),
    )

    batch_id: Mapped[str] = mapped_column(sa.String(255))
    status: Mapped[str] = mapped_column(sa.String(20))
    total_images: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    completed_images: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    failed_images: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    started_at: Mapped[datetime | None] = mapped_column(TIME)
    completed_at: Mapped[datetime | None] = mapped_column(TIME)

    def progress_percentage(self) -> float:
        """Images that are done, well or not, in percent; 0.0 for a batch without images."""
        done = self.completed_images + self.failed_images
        return 100 * done / self.total_images if self.total_images else 0.0


class ChainExecution(UuidKey, Base):
    """Tasks of a batch that follow each other."""

    __tablename__ = "chain_executions"
    __table_args__ = (
        sa.CheckConstraint(one_of("status", STATUSES), name="status"),
        *_counters("total_tasks", "completed_tasks", "failed_tasks"),
        sa.Index("ix_chain_executions_batch_execution_id", "batch_execution_id"),
    )

    batch_execution_id: Mapped[UUID] = mapped_column(sa.ForeignKey("batch_executions.id"))
    status: Mapped[str] = mapped_column(sa.String(20))
    total_tasks: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    completed_tasks: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    failed_tasks: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)


class TaskLog(UuidKey, Base):
    """One task of a chain, and why it failed."""

    __tablename__ = "task_logs"
    __table_args__ = (
        sa.UniqueConstraint("task_id"),
        sa.CheckConstraint(one_of("status", STATUSES), name="status"),
        sa.Index("ix_task_logs_chain_execution_id", "chain_execution_id"),
    )

    task_id: Mapped[str] = mapped_column(sa.String(255))
    chain_execution_id: Mapped[UUID] = mapped_column(sa.ForeignKey("chain_executions.id"))
    status: Mapped[str] = mapped_column(sa.String(20))
    error: Mapped[str | None] = mapped_column(sa.Text)


class OcrExecution(UuidKey, Base):
    """One image that was read, or why it could not be."""

    __tablename__ = "ocr_executions"
    __table_args__ = (
        sa.UniqueConstraint("image_path"),
        sa.UniqueConstraint("public_path"),
        sa.CheckConstraint(one_of("status", OUTCOMES), name="status"),
        sa.Index("ix_ocr_executions_chain_execution_id", "chain_execution_id"),
    )

    chain_execution_id: Mapped[UUID] = mapped_column(sa.ForeignKey("chain_executions.id"))
    # 500 characters are 2,000 bytes at most; an entry of a unique index holds 2,700
    image_path: Mapped[str] = mapped_column(sa.String(500))
    public_path: Mapped[str | None] = mapped_column(sa.String(500))
    status: Mapped[str] = mapped_column(sa.String(10))
    error: Mapped[str | None] = mapped_column(sa.Text)

    text_boxes: Mapped[list[OcrTextBox]] = relationship(
        back_populates="ocr_execution", cascade="all, delete-orphan", passive_deletes=True
    )


class OcrTextBox(UuidKey, Base):
    """A piece of text and where it stands in its image."""

    __tablename__ = "ocr_text_boxes"
    __table_args__ = (
        sa.CheckConstraint(between("confidence", 0, 1), name="confidence"),
        sa.Index("ix_ocr_text_boxes_ocr_execution_id", "ocr_execution_id"),
    )

    ocr_execution_id: Mapped[UUID] = mapped_column(sa.ForeignKey("ocr_executions.id", ondelete="CASCADE"))
    text: Mapped[str] = mapped_column(sa.Text)
    confidence: Mapped[float] = mapped_column(sa.Double)
    bbox: Mapped[list[Any] | dict[str, Any]] = mapped_column(JSONB)

    ocr_execution: Mapped[OcrExecution] = relationship(back_populates="text_boxes")
