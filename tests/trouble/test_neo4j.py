"""A graph in trouble: read-only, without memory, full, gone; on a server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from neo4j import GraphDatabase, Session

from processor.errors import Unavailable
from processor.settings import Neo4jSettings
from processor.stores.neo4j import Neo4jStore
from processor.tables.base import View
from tests.conformance import VIEW_FIELDS
from tests.integration.scratch_server import ScratchServer, full_disk, scratch_server
from tests.trouble.checks import (
    assert_only_refused,
    assert_waited_for,
    assert_written,
    ended,
    puts,
    retried,
    write,
)

pytestmark = pytest.mark.native("starves and ends a server of its own")

VIEW = View("neo4j", "Thing", VIEW_FIELDS)
CONF = "conf/neo4j.conf"


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    with scratch_server("neo4j") as server:
        yield server


@pytest.fixture
def store(server: ScratchServer) -> Iterator[Neo4jStore]:
    store = store_on(server)
    retried(store.ensure, VIEW)
    yield store
    store.close()


def store_on(server: ScratchServer) -> Neo4jStore:
    found = server.endpoints
    values = {name: found[f"NEO4J_{name.upper()}"] for name in ("uri", "user", "password")}
    return Neo4jStore(Neo4jSettings.model_validate({**values, "timeout_seconds": 20}))


@contextmanager
def session_on(server: ScratchServer) -> Iterator[Session]:
    found = server.endpoints
    auth = (found["NEO4J_USER"], found["NEO4J_PASSWORD"])
    with GraphDatabase.driver(found["NEO4J_URI"], auth=auth) as driver, driver.session() as session:
        yield session


@contextmanager
def configured(server: ScratchServer, text: str) -> Iterator[None]:
    """Restarted with these settings, and without them at the end."""
    server.restart_with(CONF, text)
    try:
        yield
    finally:
        server.stop()
        server.up()


def test_a_read_only_database_is_waited_for(server: ScratchServer, store: Neo4jStore) -> None:
    trouble = configured(server, "server.databases.default_to_read_only=true")
    assert_waited_for(store, VIEW, trouble, "read-only mode", puts("read-only"))


def test_a_server_that_is_gone_and_comes_back_is_waited_for(server: ScratchServer, store: Neo4jStore) -> None:
    assert_waited_for(store, VIEW, ended(server), "does not answer", puts("gone"))


def test_a_pool_without_memory_is_waited_for(server: ScratchServer, store: Neo4jStore) -> None:
    writes = puts("pool", 3, {"title": "x" * 3_000_000})
    trouble = configured(server, "dbms.memory.transaction.total.max=10m")
    hint = "raise the server's dbms.memory.transaction.total.max"
    assert_waited_for(store, VIEW, trouble, r"total\.max threshold", writes, hint)


def test_a_row_above_the_limit_of_any_transaction_is_refused_and_others_go_in_parts(
    server: ScratchServer, store: Neo4jStore
) -> None:
    (bad,) = puts("huge", 1, {"title": "x" * 3_000_000})
    with configured(server, "db.memory.transaction.max=8m"):
        assert_only_refused(store, VIEW, puts("beside-huge", 199), bad, "db.memory.transaction.max")
        assert_written(store, VIEW, puts("parts", 100, {"title": "가" * 30_000}))
    assert_written(store, VIEW, [bad])


def test_one_bad_row_among_two_hundred_is_refused_alone(server: ScratchServer, store: Neo4jStore) -> None:
    (nested,) = puts("nested", 1, {"name": {"a": 1}})
    assert_only_refused(store, VIEW, puts("beside-nested", 199), nested, "is not text")
    with session_on(server) as session:
        session.run("CREATE INDEX too_small FOR (n:Thing) ON (n.link)").consume()
        session.run("CALL db.awaitIndexes()").consume()
        try:
            (long,) = puts("long", 1, {"link": "x" * 9_000})
            assert_only_refused(store, VIEW, puts("beside-long", 199), long, "too large to index")
        finally:
            session.run("DROP INDEX too_small").consume()


def test_a_full_disk_blames_no_row_and_says_that_the_server_must_be_restarted() -> None:
    """Neo4j does not resume by itself: its database stops at the first write that the disk did not take."""
    with scratch_server("neo4j", disk_mb=80) as server:
        store = store_on(server)
        retried(store.ensure, VIEW)
        with full_disk(server), pytest.raises(Unavailable):
            write(store, VIEW, puts("full", 200, {"title": "가" * 10_000}))
        with pytest.raises(Unavailable, match="needs to be restarted") as caught:
            write(store, VIEW, puts("later"))
        assert "restart the server" in str(caught.value.hint)
        store.close()
