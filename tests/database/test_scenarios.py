"""A question, its answer and what was thought of it, as in a search service; who reads what; cascades."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from intake.seed import write_all
from processor.settings import Settings
from sql.models import (
    Base,
    DocTaxonomy,
    Document,
    SearchQuery,
    SearchResponse,
    TaxonomyNode,
    User,
    UserFeedback,
)
from tests.database.own_database import own_database
from tests.integration.conftest import ROOT

HISTORY = (SearchQuery, SearchResponse, UserFeedback)
[READABLE] = re.findall(r"```sql\n(.*?)```", (ROOT / "docs/taxonomy.md").read_text(), re.DOTALL)
"""The query that the documents tell readers to use."""


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[sa.Engine]:
    with own_database(settings) as made:
        write_all(made, 1)
        yield made


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    """Nothing of what a test does is committed."""
    with Session(engine) as opened:
        yield opened


def person(session: Session, email: str) -> User:
    return session.scalars(sa.select(User).where(User.email == email)).one()


def readable(session: Session, user: User) -> list[tuple[str, int]]:
    found = session.execute(sa.text(READABLE), {"user": user.id})
    return [(row.title, row.access_level) for row in found]


def counts(session: Session, *models: type[Base]) -> list[int]:
    return [session.scalar(sa.select(sa.func.count()).select_from(model)) or 0 for model in models]


def ask(session: Session, user: User, query: str) -> SearchQuery:
    """A question, the documents that are found for it, an answer made of them, and what the user thinks."""
    asked = SearchQuery(user_id=user.id, query=query, session_id="s-1")
    session.add(asked)
    session.flush()
    sources = [
        {"id": str(row.id), "title": row.title}
        for row in session.execute(sa.text(READABLE), {"user": user.id})
    ]
    session.add(SearchResponse(query_id=asked.id, answer="답", sources=sources, response_time_ms=120))
    session.add(UserFeedback(query_id=asked.id, user_id=user.id, rating=5, comment="도움이 되었어요"))
    session.flush()
    return asked


def test_a_question_is_asked_answered_from_what_the_user_may_read_and_rated(session: Session) -> None:
    engineer = person(session, "engineer@company.com")
    asked = ask(session, engineer, "배포는 어떻게 하나요?")
    story = session.execute(
        sa.select(SearchQuery, SearchResponse, UserFeedback)
        .join(SearchResponse, SearchResponse.query_id == SearchQuery.id)
        .join(UserFeedback, UserFeedback.query_id == SearchQuery.id)
        .where(SearchQuery.user_id == engineer.id)
    ).one()
    query, response, feedback = story
    sources: Any = response.sources
    assert (query.id, query.query, query.session_id) == (asked.id, "배포는 어떻게 하나요?", "s-1")
    assert [source["title"] for source in sources] == [
        "Company Handbook",
        "Engineering Best Practices",
    ]
    cited = [UUID(source["id"]) for source in sources]
    assert set(session.scalars(sa.select(Document.id).where(Document.id.in_(cited)))) == set(cited)
    assert (response.answer, response.response_time_ms) == ("답", 120)
    assert (feedback.user_id, feedback.rating, feedback.comment) == (engineer.id, 5, "도움이 되었어요")
    assert query.timestamp == response.timestamp == feedback.timestamp == session.scalar(sa.func.now())


def test_a_question_has_one_answer(session: Session) -> None:
    asked = ask(session, person(session, "intern@company.com"), "휴가는?")
    session.add(SearchResponse(query_id=asked.id, sources=[], response_time_ms=1))
    with pytest.raises(sa.exc.IntegrityError, match="idx_search_responses_query_id"):
        session.flush()


@pytest.mark.parametrize(
    ("email", "titles"),
    [
        ("intern@company.com", ["Company Handbook"]),
        ("engineer@company.com", ["Company Handbook", "Engineering Best Practices"]),
        (
            "admin@company.com",
            ["Company Handbook", "Engineering Best Practices", "Confidential Strategy"],
        ),
    ],
)
def test_a_user_gets_documents_up_to_the_own_level_and_none_above(
    session: Session, email: str, titles: list[str]
) -> None:
    user = person(session, email)
    assert [title for title, _ in readable(session, user)] == titles
    assert all(level <= user.access_level for _, level in readable(session, user))


def test_a_new_level_counts_at_once_and_without_being_active_nothing_is_read(session: Session) -> None:
    user = person(session, "intern@company.com")
    user.access_level = 2
    session.flush()
    assert [level for _, level in readable(session, user)] == [1, 2]
    user.is_active = False
    session.flush()
    assert readable(session, user) == []


def test_with_a_user_goes_the_whole_history_and_that_of_others_stays(session: Session) -> None:
    intern, admin = (person(session, f"{name}@company.com") for name in ("intern", "admin"))
    ask(session, intern, "휴가는?")
    theirs = ask(session, admin, "전략은?")
    session.add(UserFeedback(query_id=theirs.id, user_id=intern.id, rating=1))
    session.flush()
    assert counts(session, *HISTORY) == [2, 2, 3]
    session.execute(sa.delete(User).where(User.id == intern.id))
    assert counts(session, *HISTORY) == [1, 1, 1]
    assert session.scalars(sa.select(SearchQuery.id)).all() == [theirs.id]
    assert counts(session, Document) == [3]


def test_with_a_question_go_answer_and_feedback_and_nothing_else(session: Session) -> None:
    asked = ask(session, person(session, "intern@company.com"), "휴가는?")
    session.execute(sa.delete(SearchQuery).where(SearchQuery.id == asked.id))
    assert counts(session, *HISTORY, User) == [0, 0, 0, 3]


@pytest.mark.parametrize(
    ("model", "name", "links_left"),
    [(Document, "Engineering Best Practices", 2), (TaxonomyNode, "인사", 3)],
)
def test_with_a_document_or_a_node_go_its_links_and_the_other_side_stays(
    session: Session, model: Any, name: str, links_left: int
) -> None:
    before = counts(session, Document, TaxonomyNode, DocTaxonomy)
    named = model.title if model is Document else model.label
    session.execute(sa.delete(model).where(named == name))
    documents, nodes, links = counts(session, Document, TaxonomyNode, DocTaxonomy)
    assert links == links_left
    assert (documents, nodes) == (before[0] - (model is Document), before[1] - (model is TaxonomyNode))


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("users", "department = 'Research'"),
        ("documents", "access_level = 3"),
        ("policies", "quality_score = 0.5"),
        ("business_rules", "priority = 99"),
    ],
)
def test_a_change_moves_updated_at_and_leaves_created_at(engine: sa.Engine, table: str, change: str) -> None:
    times = f"SELECT created_at, updated_at FROM {table} ORDER BY 1, 2 LIMIT 1"
    with engine.connect() as connection:
        [(created, updated)] = connection.execute(sa.text(times)).all()
    with engine.connect() as connection:  # another transaction, so another now()
        statement = (
            f"UPDATE {table} SET {change}, updated_at = '2001-01-01' RETURNING created_at, updated_at, now()"
        )
        changed = connection.execute(sa.text(statement)).all()
    assert len(changed) >= 1
    for was_created, is_updated, now in changed:
        assert was_created == created
        assert is_updated == now > updated
