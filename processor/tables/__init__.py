"""One projection per table: adding a table adds one file here, and its line in `PROJECTIONS`."""

from __future__ import annotations

from collections.abc import Sequence

from processor.tables.base import FieldType, Projection, View
from processor.tables.business_rules import BUSINESS_RULES
from processor.tables.documents import DOCUMENTS
from processor.tables.policies import POLICIES
from processor.tables.taxonomy import DOC_TAXONOMY, TAXONOMY_NODES
from processor.tables.users import USERS

PROJECTIONS: tuple[Projection, ...] = (
    POLICIES,
    BUSINESS_RULES,
    USERS,
    DOCUMENTS,
    TAXONOMY_NODES,
    DOC_TAXONOMY,
)


def projection_of(table: str) -> Projection:
    """The projection of a table by its name, or by `schema.name`.

    Raises:
        KeyError: the table is not projected.
    """
    for projection in PROJECTIONS:
        if table in (projection.name, projection.full_name):
            return projection
    raise KeyError(table)


def topic_of(prefix: str, projection: Projection) -> str:
    """The Kafka topic that Debezium writes a table's changes to."""
    return f"{prefix}.{projection.full_name}"


def by_topic(prefix: str, projections: Sequence[Projection] = PROJECTIONS) -> dict[str, Projection]:
    """Projections by the Kafka topic that Debezium writes their changes to."""
    return {topic_of(prefix, projection): projection for projection in projections}


__all__ = ["PROJECTIONS", "FieldType", "Projection", "View", "by_topic", "projection_of", "topic_of"]
