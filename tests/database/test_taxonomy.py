"""From paths to nodes, and documents that are filed there: few queries, unknown paths, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from intake.errors import BadPath, Refused, UnknownPath
from intake.filing import Filing, file_document
from intake.taxonomy import CACHE_SECONDS, CACHED_NODES, Node, Taxonomy
from processor.settings import Settings
from sql.models import DocTaxonomy, Document, TaxonomyNode
from tests.database.own_database import own_database, statements

PATHS = [("정책",), ("정책", "창업"), ("정책", "창업", "청년"), ("정책", "고용"), ("정책", "수출"), ("기타",)]
DOCUMENT: dict[str, Any] = {"title": "안내", "content": "내용", "source": "https://example.org/1"}


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[sa.Engine]:
    with own_database(settings) as made:
        yield made


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """The tree in version 1.0.0; nothing of what a test does is committed."""
    with engine.connect() as opened:
        add(opened, *PATHS)
        yield opened


def add(connection: sa.Connection, *paths: tuple[str, ...], version: str = "1.0.0") -> None:
    nodes = [
        {"label": path[-1], "canonical_path": list(path), "version": version, "confidence": 1.0}
        for path in paths
    ]
    connection.execute(sa.insert(TaxonomyNode), nodes)


def links(connection: sa.Connection) -> list[Any]:
    query = sa.select(
        DocTaxonomy.path, DocTaxonomy.version, DocTaxonomy.confidence, DocTaxonomy.hitl_required
    ).order_by(DocTaxonomy.path)
    return [tuple(row) for row in connection.execute(query)]


def count(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(Document)) or 0)


def test_each_path_is_found_by_all_its_labels(connection: sa.Connection) -> None:
    found = Taxonomy().find(connection, PATHS)
    ids = {
        tuple(path): key
        for key, path in connection.execute(sa.select(TaxonomyNode.node_id, TaxonomyNode.canonical_path))
    }
    assert found == {path: Node(ids[path], path, "1.0.0") for path in PATHS}


def test_a_batch_takes_one_query_and_what_is_remembered_none(
    engine: sa.Engine, connection: sa.Connection
) -> None:
    taxonomy = Taxonomy()
    with statements(engine) as sent:
        first = taxonomy.find(connection, [*PATHS[:3], *PATHS[:3]])
        assert len(sent) == 1
        assert taxonomy.find(connection, PATHS[:3]) == first
        assert len(sent) == 1
        taxonomy.find(connection, PATHS)
        assert len(sent) == 2
        assert taxonomy.find(connection, []) == {}
        assert len(sent) == 2


def test_after_an_hour_a_node_is_looked_up_again(connection: sa.Connection) -> None:
    now = [0.0]
    taxonomy = Taxonomy(timer=lambda: now[0])
    taxonomy.find(connection, [("정책",)])
    add(connection, ("정책",), version="2.0.0")
    now[0] = CACHE_SECONDS - 1.0
    assert taxonomy.find(connection, [("정책",)])["정책",].version == "1.0.0"
    now[0] = CACHE_SECONDS
    assert taxonomy.find(connection, [("정책",)])["정책",].version == "2.0.0"


def test_the_cache_is_bounded_and_forgets_what_was_not_used_for_longest(
    engine: sa.Engine, connection: sa.Connection
) -> None:
    many = [("가지", str(n)) for n in range(CACHED_NODES)]
    add(connection, *many)
    taxonomy = Taxonomy()
    taxonomy.find(connection, [PATHS[0], PATHS[1]])
    taxonomy.find(connection, many[:-2])
    taxonomy.find(connection, [PATHS[0]])
    assert len(taxonomy.find(connection, many)) == CACHED_NODES  # two more than there is room for
    with statements(engine) as sent:
        taxonomy.find(connection, [many[-1]])
        taxonomy.find(connection, [PATHS[1]])
        assert len(sent) == 1


def test_more_paths_than_the_cache_holds_are_all_found(connection: sa.Connection) -> None:
    many = [("가지", str(n)) for n in range(CACHED_NODES + 500)]
    add(connection, *many)
    assert set(Taxonomy().find(connection, many)) == {*many}


def test_a_path_that_was_unknown_is_found_as_soon_as_it_is_there(connection: sa.Connection) -> None:
    taxonomy = Taxonomy()
    with pytest.raises(UnknownPath):
        taxonomy.find(connection, [("새", "가지")])
    add(connection, ("새", "가지"))
    assert taxonomy.find(connection, [("새", "가지")])["새", "가지"].version == "1.0.0"


def test_the_newest_version_of_each_node_is_meant_or_the_one_that_is_asked_for(
    connection: sa.Connection,
) -> None:
    for version in ("1.9.0", "1.10.0", "1.10.0-rc1"):
        add(connection, ("정책",), version=version)
    taxonomy = Taxonomy()
    both = taxonomy.find(connection, [("정책",), ("기타",)])
    assert {path: node.version for path, node in both.items()} == {("정책",): "1.10.0", ("기타",): "1.0.0"}
    assert taxonomy.find(connection, [("정책",)], "1.9.0")["정책",].version == "1.9.0"
    assert taxonomy.find(connection, [("정책",)], "1.0.0")["정책",].version == "1.0.0"
    assert taxonomy.find(connection, [("정책",)])["정책",].version == "1.10.0"
    with pytest.raises(UnknownPath, match=r"unknown taxonomy path in version 1\.9\.0 기타; closest: 정책 "):
        taxonomy.find(connection, [("기타",)], "1.9.0")


def test_an_unknown_path_names_the_five_closest_and_what_to_run(connection: sa.Connection) -> None:
    with pytest.raises(UnknownPath) as caught:
        Taxonomy().find(connection, [("정책", "창엽"), ("정책",), ("창업", "청년")])
    assert {path: found[0].path for path, found in caught.value.closest.items()} == {
        ("정책", "창엽"): ("정책", "창업"),
        ("창업", "청년"): ("정책", "창업", "청년"),
    }
    assert all(len(found) == 5 for found in caught.value.closest.values())
    assert str(caught.value).startswith(
        "unknown taxonomy path 정책/창엽; closest: 정책/창업 (distance 0.167), 정책 (distance 0.5), "
    )
    assert str(caught.value.hint).startswith("aegis taxonomy show '정책/창업'")
    assert (caught.value.code, caught.value.exit_code) == ("DP_2001", 1)


def test_of_many_unknown_paths_some_are_explained_and_the_others_counted(connection: sa.Connection) -> None:
    with pytest.raises(UnknownPath, match=r"; and 3 more$") as caught:
        Taxonomy().find(connection, [("x", str(n)) for n in range(8)])
    assert len(caught.value.closest) == 5


def test_without_any_node_the_way_to_some_is_named(engine: sa.Engine) -> None:
    with engine.connect() as empty, pytest.raises(UnknownPath, match="the taxonomy has no node") as caught:
        Taxonomy().find(empty, [("정책",)])
    assert "aegis taxonomy import" in str(caught.value.hint)


def test_a_default_stands_for_unknown_paths_in_the_same_query(
    engine: sa.Engine, connection: sa.Connection
) -> None:
    taxonomy = Taxonomy(default=["기타"])
    with statements(engine) as sent:
        found = taxonomy.find(connection, [("없는", "길"), ("정책",)])
    assert {path: node.path for path, node in found.items()} == {
        ("없는", "길"): ("기타",),
        ("정책",): ("정책",),
    }
    assert len(sent) == 1


def test_a_default_that_is_unknown_helps_nobody(connection: sa.Connection) -> None:
    taxonomy = Taxonomy(default=["없음"])
    assert taxonomy.find(connection, [("정책",)])
    with pytest.raises(UnknownPath, match="없는/길"):
        taxonomy.find(connection, [("없는", "길")])


def test_an_empty_label_is_refused_before_anything_is_asked(
    engine: sa.Engine, connection: sa.Connection
) -> None:
    with statements(engine) as sent, pytest.raises(BadPath, match="part 2"):
        Taxonomy().find(connection, [("정책", " ")])
    assert sent == []


def test_a_document_and_its_places_are_written_together(connection: sa.Connection) -> None:
    key = uuid4()
    filings = [Filing(["정책", "창업"], 0.7), Filing(["정책", "고용"], 0.69)]
    assert file_document(connection, Taxonomy(), DOCUMENT | {"id": key}, filings) == key
    assert links(connection) == [
        (["정책", "고용"], "1.0.0", 0.69, True),
        (["정책", "창업"], "1.0.0", 0.7, False),
    ]
    assert connection.execute(sa.select(Document.id, Document.title)).all() == [(key, "안내")]


def test_a_document_gets_an_id_when_it_has_none(connection: sa.Connection) -> None:
    assert isinstance(file_document(connection, Taxonomy(), DOCUMENT, []), UUID)
    assert (count(connection), links(connection)) == (1, [])


def test_the_version_of_a_filing_and_that_of_the_tree_are_the_callers(connection: sa.Connection) -> None:
    add(connection, ("정책",), version="2.0.0")
    for tree in (None, "1.0.0"):
        file_document(
            connection, Taxonomy(), DOCUMENT, [Filing(["정책"], 1)], version=f"for {tree}", tree=tree
        )
    query = sa.select(DocTaxonomy.version, TaxonomyNode.version).join(
        TaxonomyNode, TaxonomyNode.node_id == DocTaxonomy.node_id
    )
    assert {tuple(row) for row in connection.execute(query)} == {
        ("for None", "2.0.0"),
        ("for 1.0.0", "1.0.0"),
    }


def test_with_an_unknown_path_nothing_at_all_is_written(connection: sa.Connection) -> None:
    filings = [Filing(["정책", "창업"], 1), Filing(["정책", "창엽"], 1)]
    with pytest.raises(UnknownPath):
        file_document(connection, Taxonomy(), DOCUMENT, filings)
    assert (count(connection), links(connection)) == (0, [])


@pytest.mark.parametrize(
    ("document", "filing", "refusal"),
    [
        ({"access_level": 4}, Filing(["정책"], 1), "access_level: must be 1 to 3"),
        ({}, Filing(["정책"], 1.2), "confidence: must be 0 to 1"),
        ({"content": None}, Filing(["정책"], 1), "content: is required"),
        ({"title": "x" * 501}, Filing(["정책"], 1), "line: a text is longer than its column allows"),
    ],
)
def test_what_postgresql_refuses_leaves_nothing_and_the_transaction_goes_on(
    connection: sa.Connection, document: dict[str, Any], filing: Filing, refusal: str
) -> None:
    with pytest.raises(Refused) as caught:
        file_document(connection, Taxonomy(), DOCUMENT | document, [filing])
    assert (str(caught.value), caught.value.code) == (refusal, "DP_2001")
    assert (count(connection), links(connection)) == (0, [])
    file_document(connection, Taxonomy(), DOCUMENT, [Filing(["정책"], 1)])
    assert count(connection) == 1


def test_a_document_that_is_there_is_refused_as_a_duplicate(connection: sa.Connection) -> None:
    key = file_document(connection, Taxonomy(), DOCUMENT, [Filing(["정책"], 1)])
    with pytest.raises(Refused) as caught:
        file_document(connection, Taxonomy(), DOCUMENT | {"id": key}, [Filing(["기타"], 1)])
    assert caught.value.code == "DP_2003"
    assert links(connection) == [(["정책"], "1.0.0", 1.0, False)]


def test_unknown_paths_go_to_the_default_once_and_somebody_has_to_look(connection: sa.Connection) -> None:
    filings = [Filing(["없는", "길"], 0.8), Filing(["또", "없는"], 0.9)]
    file_document(connection, Taxonomy(default=["기타"]), DOCUMENT, filings)
    assert links(connection) == [(["기타"], "1.0.0", 0.9, True)]


def test_a_node_that_was_removed_since_it_was_remembered_is_looked_up_again(
    connection: sa.Connection,
) -> None:
    taxonomy = Taxonomy()
    taxonomy.find(connection, [("정책",)])
    connection.execute(sa.delete(TaxonomyNode).where(TaxonomyNode.label == "정책"))
    add(connection, ("정책",))
    file_document(connection, taxonomy, DOCUMENT, [Filing(["정책"], 1)])
    assert links(connection) == [(["정책"], "1.0.0", 1.0, False)]
    connection.execute(sa.delete(TaxonomyNode))
    with pytest.raises(UnknownPath):
        file_document(connection, taxonomy, DOCUMENT, [Filing(["정책"], 1)])
    assert count(connection) == 1
