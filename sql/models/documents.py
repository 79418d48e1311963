"""Documents of the house, the tree that they are filed in, and which document is filed where."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CAPTURED,
    MAX_LONG_BYTES,
    MAX_METADATA_BYTES,
    MAX_PATH_BYTES,
    Base,
    Timestamps,
    UuidKey,
    at_most,
    between,
    key_text,
    one_of,
)

DOCUMENT_TYPES: Final = ("PDF", "DOCX", "TXT", "MARKDOWN")
NOW: Final = sa.text("now()")
TIME: Final = sa.DateTime(timezone=True)


def path(column: str) -> str:
    """SQL condition: 1 to 50 parts, none of them empty. Counted from 1, or equal paths would differ."""
    return (
        f"cardinality({column}) BETWEEN 1 AND 50 AND array_ndims({column}) = 1"
        f" AND array_lower({column}, 1) = 1"
        f" AND array_position({column}, NULL) IS NULL AND array_position({column}, '') IS NULL"
    )


_KEY: Final = key_text(doc_id="doc_id::text", node_id="node_id::text", version="version")


class Document(UuidKey, Timestamps, Base):
    """A document and who may read it: users whose level is at least `access_level`."""

    __tablename__ = "documents"
    __table_args__ = (
        sa.CheckConstraint(at_most(MAX_LONG_BYTES, "content"), name="content"),
        sa.CheckConstraint(one_of("document_type", DOCUMENT_TYPES), name="document_type"),
        sa.CheckConstraint(between("access_level", 1, 3), name="access_level"),
        sa.CheckConstraint(at_most(MAX_METADATA_BYTES, "metadata::text"), name="metadata"),
        sa.Index("idx_documents_access_level", "access_level"),
        sa.Index("idx_documents_department", "department"),
        sa.Index("idx_documents_metadata", "metadata", postgresql_using="gin"),
        {"info": CAPTURED},
    )

    title: Mapped[str] = mapped_column(sa.String(500))
    content: Mapped[str] = mapped_column(sa.Text)
    document_type: Mapped[str | None] = mapped_column(sa.String(50))
    source: Mapped[str] = mapped_column(sa.String(500))
    access_level: Mapped[int] = mapped_column(sa.Integer, server_default=sa.text("1"))
    department: Mapped[str | None] = mapped_column(sa.String(50))
    metadata_: Mapped[Any | None] = mapped_column("metadata", JSONB)


class TaxonomyNode(Base):
    """A place in the tree, named by the labels from the root to itself, in one version of the tree."""

    __tablename__ = "taxonomy_nodes"
    __table_args__ = (
        sa.CheckConstraint(path("canonical_path"), name="canonical_path"),
        sa.CheckConstraint(at_most(MAX_PATH_BYTES, "canonical_path::text"), name="canonical_path_size"),
        sa.CheckConstraint(between("confidence", 0, 1), name="confidence"),
        sa.UniqueConstraint("canonical_path", "version"),
        sa.Index("idx_taxonomy_nodes_canonical_path", "canonical_path", postgresql_using="gin"),
        {"info": CAPTURED},
    )

    node_id: Mapped[UUID] = mapped_column(
        sa.Uuid, primary_key=True, server_default=sa.text("gen_random_uuid()")
    )
    label: Mapped[str] = mapped_column(sa.String(200))
    canonical_path: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    version: Mapped[str] = mapped_column(sa.String(20))
    confidence: Mapped[float] = mapped_column(sa.Double)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)


class DocTaxonomy(Base):
    """A document is filed at a node; `hitl_required`: somebody has to look whether that is right."""

    __tablename__ = "doc_taxonomy"
    __table_args__ = (
        sa.CheckConstraint(path("path"), name="path"),
        sa.CheckConstraint(at_most(MAX_PATH_BYTES, "path::text"), name="path_size"),
        sa.CheckConstraint(between("confidence", 0, 1), name="confidence"),
        sa.Index("ix_doc_taxonomy_node_id", "node_id"),
        sa.Index("ix_doc_taxonomy_key", sa.text(f"({_KEY})")),
        {"info": CAPTURED},
    )

    doc_id: Mapped[UUID] = mapped_column(sa.ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    node_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey("taxonomy_nodes.node_id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[str] = mapped_column(
        sa.String(20, collation="C"), primary_key=True, server_default=sa.text("'1.0.0'")
    )
    path: Mapped[list[str]] = mapped_column(ARRAY(sa.Text))
    confidence: Mapped[float] = mapped_column(sa.Double)
    hitl_required: Mapped[bool] = mapped_column(sa.Boolean)
    created_at: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
