"""A document comes with the places of the taxonomy where it is filed: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from psycopg import Error

from intake.errors import Refused
from intake.paths import path_of
from intake.refusals import refusal_of
from intake.taxonomy import Node, Taxonomy
from sql.models import Base, DocTaxonomy, Document

REVIEW_BELOW: Final = 0.7
"""A filing that is less certain must be looked at by somebody (`hitl_required`)."""
VERSION: Final = "1.0.0"

DOCUMENTS: Final = Base.metadata.tables[Document.__tablename__]
LINKS: Final = Base.metadata.tables[DocTaxonomy.__tablename__]
NODE_KEY: Final = "fk_doc_taxonomy_node_id"


@dataclass(frozen=True, slots=True)
class Filing:
    """Where a document belongs, and how certain that is, from 0 to 1."""

    path: Sequence[str]
    confidence: float


def file_document(
    connection: sa.Connection,
    taxonomy: Taxonomy,
    document: Mapping[str, Any],
    filings: Sequence[Filing],
    *,
    version: str = VERSION,
    tree: str | None = None,
) -> UUID:
    """Write a document and its places, in a savepoint of the caller's transaction, which the caller commits.

    Somebody has to look at a filing that is less certain than REVIEW_BELOW, and at one whose path is unknown
    and for which the taxonomy's default stands. Two filings at the same node are one, the more certain.

    Args:
        document: values by column; `id` may be among them.
        version: of the filing: who files the same document again, by other rules, gives another one.
        tree: the version of the taxonomy; none: each path's newest.

    Returns:
        The document's id.

    Raises:
        BadPath, UnknownPath: of one of the filings.
        Refused: PostgreSQL refuses the document or a filing; it names the field.
    """
    for attempt in (1, 2):
        nodes = taxonomy.find(connection, [filing.path for filing in filings], tree)
        try:
            with connection.begin_nested():
                return _write(connection, document, _links(filings, nodes, version))
        except (sa.exc.IntegrityError, sa.exc.DataError) as error:
            # a node may have been removed after it was remembered: then it is looked up once more
            if attempt == 2 or _constraint(error) != NODE_KEY:
                table = _table(error)
                raise Refused(
                    refusal_of(error.orig, table),
                    hint=f"correct it: nothing of it was written ({table.name})",
                ) from error
            taxonomy.forget(node.path for node in nodes.values())
    raise AssertionError


def _write(connection: sa.Connection, document: Mapping[str, Any], links: list[dict[str, Any]]) -> UUID:
    given = {name: value for name, value in document.items() if value is not None}
    key = connection.execute(sa.insert(DOCUMENTS).values(given).returning(Document.id)).scalar_one()
    if links:
        connection.execute(sa.insert(LINKS), [{**link, "doc_id": key} for link in links])
    assert isinstance(key, UUID)
    return key


def _links(filings: Sequence[Filing], nodes: Mapping[Any, Node], version: str) -> list[dict[str, Any]]:
    links: dict[UUID, dict[str, Any]] = {}
    for filing in sorted(filings, key=lambda filing: filing.confidence):
        path = path_of(filing.path)
        node = nodes[path]
        links[node.node_id] = {
            "node_id": node.node_id,
            "version": version,
            "path": list(node.path),
            "confidence": filing.confidence,
            "hitl_required": filing.confidence < REVIEW_BELOW or node.path != path,
        }
    return list(links.values())


def _constraint(error: sa.exc.DBAPIError) -> str | None:
    return error.orig.diag.constraint_name if isinstance(error.orig, Error) else None


def _table(error: sa.exc.DBAPIError) -> sa.Table:
    """Of which table a row was refused; what is no check of a table comes without one."""
    named = error.orig.diag.table_name if isinstance(error.orig, Error) else None
    return LINKS if named == LINKS.name else DOCUMENTS
