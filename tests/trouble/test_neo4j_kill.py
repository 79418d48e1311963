"""A graph in trouble: killed and frozen while rows are written; on a server of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from processor.settings import Neo4jSettings
from processor.stores.neo4j import Neo4jStore
from processor.tables.base import View
from tests.conformance import VIEW_FIELDS
from tests.integration.scratch_server import ScratchServer, scratch_server
from tests.integration.writer import Writer

pytestmark = pytest.mark.native("kills and freezes a server of its own")

VIEW = View("neo4j", "Policy", VIEW_FIELDS)


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    with scratch_server("neo4j") as server:
        yield server


def settings_of(server: ScratchServer, timeout_seconds: float) -> Neo4jSettings:
    found = server.endpoints
    names = ("uri", "user", "password")
    values = {name: found[f"NEO4J_{name.upper()}"] for name in names}
    return Neo4jSettings.model_validate({**values, "timeout_seconds": timeout_seconds})


def test_what_was_acknowledged_survives_a_freeze_and_a_kill(server: ScratchServer) -> None:
    store = Neo4jStore(settings_of(server, 10))
    store.ensure(VIEW)
    store.close()
    store = Neo4jStore(settings_of(server, 2))
    Writer(store, VIEW).live_through((server.freeze, server.thaw), (server.kill, server.up))
    server.freeze()
    try:
        store.close()
    finally:
        server.thaw()
