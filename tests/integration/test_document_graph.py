"""From a document to the root of the tree, by the query that docs/stores.md gives readers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
import sqlalchemy as sa
from neo4j import GraphDatabase

from processor.settings import Settings
from sql.models import DocTaxonomy, Document, TaxonomyNode
from tests.integration.conftest import ROOT
from tests.integration.path import catch_up, processor_running, unique

(QUERY,) = re.findall(
    r"```cypher\n// where a document is filed.*?\n(.*?)```", (ROOT / "docs/stores.md").read_text(), re.DOTALL
)
Found = list[list[object]]


@pytest.fixture
def tag(pipeline: sa.Engine, settings: Settings) -> Iterator[str]:
    """Names this test's rows; a processor runs meanwhile."""
    tag = unique("tree")
    with processor_running():
        yield tag
        forget(pipeline, tag)
        catch_up(pipeline, settings)


def forget(engine: sa.Engine, tag: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.delete(Document).where(Document.source == tag))
        connection.execute(sa.delete(TaxonomyNode).where(TaxonomyNode.version == tag[:20]))


def test_a_document_leads_to_its_place_and_all_above_whatever_came_first(
    pipeline: sa.Engine, settings: Settings, tag: str
) -> None:
    document, leaf, root = uuid4(), uuid4(), uuid4()
    paths = {root: ["정책"], uuid4(): ["정책", "창업/금융"], leaf: ["정책", "창업/금융", "보증"]}

    def node(key: object) -> dict[str, object]:
        path = paths[key]  # type: ignore[index]
        return {
            "node_id": key,
            "label": path[-1],
            "canonical_path": path,
            "version": tag[:20],
            "confidence": 1.0,
        }

    def found() -> Found:
        catch_up(pipeline, settings)
        neo4j = settings.neo4j
        auth = (neo4j.user, neo4j.password.get_secret_value())
        with GraphDatabase.driver(neo4j.uri, auth=auth, notifications_min_severity="OFF") as driver:
            records, _, _ = driver.execute_query(QUERY, id=str(document), database_=neo4j.database)
        return [record.values() for record in records]

    filed = {
        "doc_id": document,
        "node_id": leaf,
        "path": paths[leaf],
        "confidence": 0.9,
        "hitl_required": False,
    }
    with pipeline.begin() as connection:
        row = {"id": document, "title": "안내서", "content": "보증", "source": tag}
        connection.execute(sa.insert(Document), [row])
        connection.execute(sa.insert(TaxonomyNode), [node(key) for key in paths if key != root])
        connection.execute(sa.insert(DocTaxonomy), [filed])
    assert found() == [["보증", 0.9, ["창업/금융"]]]
    with pipeline.begin() as connection:
        connection.execute(sa.insert(TaxonomyNode), [node(root)])
    assert found() == [["보증", 0.9, ["창업/금융", "정책"]]]
    with pipeline.begin() as connection:
        connection.execute(sa.delete(Document).where(Document.id == document))
    assert found() == []
    with pipeline.begin() as connection:
        connection.execute(sa.insert(Document), [row])
        connection.execute(sa.insert(DocTaxonomy), [filed])
    assert found() == [["보증", 0.9, ["창업/금융", "정책"]]]
