"""The tree that documents are filed in, and which document is filed where.

A node and its parent are two rows that do not know each other's keys: they meet at a path, as policies and
rules meet at a region. `(child)-[:UNDER]->(:TaxonomyPath)<-[:AT]-(parent)`
"""

from __future__ import annotations

import sqlalchemy as sa

from processor.rows import Kind
from processor.tables.base import Edge, FieldType, Joined, Projection, View
from sql.models import DocTaxonomy, TaxonomyNode

_OWN = TaxonomyNode.__table__.c.canonical_path
_VERSION = TaxonomyNode.__table__.c.version
_PARENT = _OWN[1 : sa.func.cardinality(_OWN) - 1]


def _in_its_version(path: sa.ColumnElement[list[str]]) -> sa.ColumnElement[str]:
    """A path as JSON, its version first: a label may hold whatever separator one might choose."""
    return sa.cast(sa.func.array_to_json(sa.func.array_prepend(sa.cast(_VERSION, sa.Text), path)), sa.Text)


TAXONOMY_NODES = Projection(
    model=TaxonomyNode.__table__,
    only_when={},
    views=(
        View(
            store="neo4j",
            name="TaxonomyNode",
            hub="TaxonomyNodeId",
            fields={
                "node_id": FieldType.KEYWORD,
                "label": FieldType.KOREAN,
                "canonical_path": FieldType.KEYWORDS,
                "version": FieldType.KEYWORD,
                "confidence": FieldType.DOUBLE,
                "created_at": FieldType.TIMESTAMP,
            },
            edges=(
                Edge("own_path", "AT", "TaxonomyPath", "path"),
                Edge("parent_path", "UNDER", "TaxonomyPath", "path"),
            ),
        ),
    ),
    joined={
        "own_path": Joined(Kind.TEXT, _in_its_version(_OWN)),
        "parent_path": Joined(
            Kind.TEXT, sa.case((sa.func.cardinality(_OWN) > 1, _in_its_version(_PARENT)), else_=None)
        ),
    },
)

DOC_TAXONOMY = Projection(
    model=DocTaxonomy.__table__,
    only_when={},
    views=(
        View(
            store="neo4j",
            name="DocTaxonomy",
            fields={
                "version": FieldType.KEYWORD,
                "path": FieldType.KEYWORDS,
                "confidence": FieldType.DOUBLE,
                "hitl_required": FieldType.BOOLEAN,
                "created_at": FieldType.TIMESTAMP,
            },
            edges=(
                Edge("doc_id", "OF_DOCUMENT", "DocumentId", "_id"),
                Edge("node_id", "FILED_AT", "TaxonomyNodeId", "_id"),
            ),
        ),
    ),
)
