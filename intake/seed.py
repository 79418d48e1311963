"""All rows to begin with: those of sql/seed, and documents that are filed in the taxonomy."""

from __future__ import annotations

import sqlalchemy as sa

from intake.filing import Filing, file_document
from intake.taxonomy import Taxonomy
from sql.models import Base, Document
from sql.sealed import Sealer
from sql.seed import SeedResult
from sql.seed import write_all as write_rows
from sql.seed.library import FILED, documents, taxonomy_nodes
from sql.seed.write import write


def write_all(engine: sa.Engine, count: int, sealer: Sealer | None = None) -> dict[str, SeedResult]:
    """Insert `count` policies and all else that is not there yet; returns what happened, by table.

    Without `sealer`, what is to be encrypted is left out.

    Raises:
        sqlalchemy.exc.ProgrammingError: the schema is not migrated.
    """
    results = write_rows(engine, count, sealer)
    with engine.begin() as connection:
        table = Base.metadata.tables["taxonomy_nodes"]
        results[table.name] = write(connection, table, taxonomy_nodes())
        results["documents"] = _file(connection)
    return results


def _file(connection: sa.Connection) -> SeedResult:
    """Documents with their places: both, or what somebody has made of them since stays."""
    wanted = documents()
    ids = [row["id"] for row in wanted]
    there = set(connection.execute(sa.select(Document.id).where(Document.id.in_(ids))).scalars())
    taxonomy = Taxonomy()
    missing = [row for row in wanted if row["id"] not in there]
    for row in missing:
        file_document(connection, taxonomy, row, [Filing(*filing) for filing in FILED[row["title"]]])
    return SeedResult(inserted=len(missing), present=len(there))
