"""How rows look in each store: fields, edges, the text to embed, the cache entries that become stale."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest

from processor.decide import want
from processor.errors import RowRejected
from processor.pipeline import plan_batch
from processor.routes import make_routes
from processor.tables import PROJECTIONS, projection_of
from processor.tables.base import Edge, FieldType, View
from processor.tables.policies import policy_text
from sql.capture import captured_tables, published_columns
from tests.unit.samples import POLICIES, TOPIC, change, row

VECTOR, GRAPH, CACHE = (POLICIES.view(store) for store in ("milvus", "neo4j", "redis"))


def test_every_captured_table_is_projected_and_every_view_shows_published_columns_only() -> None:
    assert {projection.name for projection in PROJECTIONS} == {table.name for table in captured_tables()}
    for projection in PROJECTIONS:
        published = {column.name for column in published_columns(projection.table)}
        for view in projection.views:
            assert set(view.columns) <= published | projection.joined.keys()
            assert len(projection.views) == len({view.store for view in projection.views})


def test_a_column_is_a_field_of_a_view_or_an_edge_and_never_both() -> None:
    with pytest.raises(ValueError, match="view Loan: bank cannot be both a field and an edge"):
        View("neo4j", "Loan", {"bank": FieldType.KEYWORD}, edges=(Edge("bank", "OF", "Bank", "name"),))


def test_rows_that_are_related_to_by_their_key_are_hubs_of_it() -> None:
    graphs = [view for table in PROJECTIONS for view in table.views if view.store == "neo4j"]
    hubs = {view.hub for view in graphs if view.hub}
    assert {edge.label for view in graphs for edge in view.edges if edge.name == "_id"} == hubs
    assert hubs == {"DocumentId", "TaxonomyNodeId"}


@pytest.mark.parametrize(
    ("title", "content", "text"),
    [("제목", "본문\n둘째 줄", "제목\n본문\n둘째 줄"), ("제목", " \n", "제목"), ("\u1100\u1161", "", "가")],
)
def test_of_a_document_title_and_content_are_embedded(title: str, content: str, text: str) -> None:
    documents = projection_of("documents")
    assert documents.text(documents.view("milvus"), {"title": title, "content": content}) == text


def test_the_views_of_users_are_made_of_exactly_the_published_columns() -> None:
    users = projection_of("users")
    published = {"id", "department", "access_level", "is_active", "created_at", "updated_at"}
    assert {column for view in users.views for column in view.columns} == published


def test_the_embedded_text_has_all_parts_that_the_row_states() -> None:
    assert policy_text(row()) == (
        "청년 창업 특례 보증\n만 39세 이하 청년 창업기업의 운전자금을 보증합니다.\n기술보증기금\n"
        "지원금액: 10000000원 ~ 5000000000원\n금리: 2.50%"
    )


@pytest.mark.parametrize(
    ("low", "high", "rate", "tail"),
    [
        (None, None, None, ""),
        (5, None, None, "\n지원금액: 5원 ~"),
        (None, 7, "0.00", "\n지원금액: ~ 7원\n금리: 0.00%"),
        (0, 0, None, "\n지원금액: 0원 ~ 0원"),
    ],
)
def test_parts_that_the_row_does_not_state_are_left_out_of_the_text(
    low: int | None, high: int | None, rate: str | None, tail: str
) -> None:
    changed = row(content=" ", funding_amount_min=low, funding_amount_max=high, interest_rate=rate)
    assert policy_text(changed) == "청년 창업 특례 보증\n기술보증기금" + tail


def test_the_same_text_typed_on_another_system_is_the_same_text() -> None:
    composed = POLICIES.text(VECTOR, row(title="서울"))
    assert POLICIES.text(VECTOR, row(title=unicodedata.normalize("NFD", "서울"))) == composed


def test_a_text_is_never_made_of_a_value_that_did_not_travel() -> None:
    with pytest.raises(RowRejected, match="content: its unchanged value did not travel"):
        POLICIES.text(VECTOR, row(content="__debezium_unavailable_value"))


def test_the_fingerprint_of_a_vector_covers_the_columns_of_its_text() -> None:
    before, after = row(), row(content="다른 내용")
    assert POLICIES.body(VECTOR, before) == POLICIES.body(VECTOR, after)
    assert POLICIES.fingerprint(VECTOR, before) != POLICIES.fingerprint(VECTOR, after)


def test_edges_name_each_target_once_whatever_the_rows_order() -> None:
    body = POLICIES.body(GRAPH, row(target_regions=["27", "11", "27"], target_industries=[]))
    assert body["target_regions"] == ["11", "27"]
    assert body["target_industries"] == []
    assert body["issuing_organization"] == ["기술보증기금"]
    assert body["title"] == "청년 창업 특례 보증"


def test_a_text_of_a_row_without_a_column_is_made_of_the_others() -> None:
    old = {name: value for name, value in row().items() if name not in ("interest_rate", "content")}
    assert "기술보증기금" in policy_text(old)


def test_nothing_is_related_to_a_name_that_is_empty() -> None:
    assert POLICIES.body(GRAPH, row(issuing_organization=""))["issuing_organization"] == []


def test_a_list_that_did_not_travel_is_refused_and_not_a_crash() -> None:
    for view in POLICIES.views:
        with pytest.raises(RowRejected, match="target_regions: its unchanged value did not travel"):
            want(POLICIES, view, change(target_regions=["__debezium_unavailable_value"]), epoch=0)
    hidden = change(target_regions=["__debezium_unavailable_value"], status="archived")
    assert want(POLICIES, VECTOR, hidden, epoch=0).body is None


def test_edges_of_a_value_that_did_not_travel_are_refused() -> None:
    with pytest.raises(RowRejected, match="target_regions"):
        POLICIES.body(GRAPH, row(target_regions=["__debezium_unavailable_value"]))


def test_a_row_names_the_cache_entries_that_were_made_of_it() -> None:
    assert CACHE.stale_entries(row("P", target_regions=["11", "26"], target_industries=["J"])) == {
        "policy_metadata:P",
        "quality_score:P",
        "policies:region:11",
        "policies:region:26",
        "policies:industry:J",
        "policies:organization:기술보증기금",
    }


def test_entries_of_every_image_in_a_batch_become_stale_also_of_changes_that_newer_ones_replace() -> None:
    steps = [["11"], ["26"], ["27"]]
    changes = [
        change("P", commit=n, before=row("P", target_regions=old), target_regions=new)
        for n, (old, new) in enumerate(pairwise(steps), start=1)
    ]
    (table,) = plan_batch(changes, make_routes({TOPIC: POLICIES}, {TOPIC: 12}), epoch=0).tables
    regions = {name for name in table.wanted[CACHE]["P"].invalidates if name.startswith("policies:region")}
    assert regions == {"policies:region:11", "policies:region:26", "policies:region:27"}
    assert table.wanted[GRAPH]["P"].invalidates == frozenset()


def test_what_leaves_the_predicate_is_wanted_nowhere_and_has_no_text() -> None:
    hidden = change(status="archived")
    for view in POLICIES.views:
        wanted = want(POLICIES, view, hidden, epoch=0)
        assert (wanted.body, wanted.text) == (None, None)
