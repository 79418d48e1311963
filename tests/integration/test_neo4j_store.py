"""The graph adapter on the real server: the common suite, and what only this store can do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from neo4j import GraphDatabase, Session

from processor.settings import Settings
from processor.stamp import Stamp
from processor.stores.base import Store
from processor.stores.neo4j import Neo4jStore
from processor.tables.base import View
from tests.conformance import VIEW_FIELDS, CompareAndSetConformance

STAMP = Stamp(1, 1, 1, "f")


@pytest.fixture(scope="module")
def raw(settings: Settings) -> Iterator[Session]:
    neo4j = settings.neo4j
    auth = (neo4j.user, neo4j.password.get_secret_value())
    with (
        GraphDatabase.driver(neo4j.uri, auth=auth, notifications_min_severity="OFF") as driver,
        driver.session() as session,
    ):
        yield session


@pytest.fixture(scope="module")
def suite_view() -> View:
    return View(store="neo4j", name=f"Test_{uuid.uuid4().hex}", fields=VIEW_FIELDS)


@pytest.fixture
def view(suite_view: View, raw: Session) -> Iterator[View]:
    yield suite_view
    raw.run(f"MATCH (n:{suite_view.name}) DETACH DELETE n").consume()


@pytest.fixture
def store(settings: Settings, view: View) -> Iterator[Store]:
    store = Neo4jStore(settings.neo4j)
    store.ensure(view)
    yield store
    store.close()


class TestNeo4jStore(CompareAndSetConformance):
    """The suite that every store passes."""
