"""A vector store in trouble: killed and frozen while rows are written; on a server of its own.

On milvus-lite, and on a real server by `make test-milvus`: AEGIS_TEST_MILVUS names the service.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from processor.settings import MilvusSettings
from processor.stores.milvus import MilvusStore
from processor.tables.base import View
from processor.vector import Vector
from tests.conformance import VIEW_FIELDS
from tests.integration.scratch_server import ScratchServer, scratch_server
from tests.integration.writer import Writer

pytestmark = pytest.mark.native("kills and freezes a server of its own")

VIEW = View(store="milvus", name="things", fields=VIEW_FIELDS)
VECTOR = Vector(np.full(16, 0.25, dtype=np.float32), "test/model", "")


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    with scratch_server(os.environ.get("AEGIS_TEST_MILVUS", "milvus")) as server:
        yield server


def store_on(server: ScratchServer, timeout_seconds: float) -> MilvusStore:
    settings = MilvusSettings.model_validate({"uri": server.url, "timeout_seconds": timeout_seconds})
    return MilvusStore(settings, VECTOR.model, len(VECTOR.values))


def test_what_was_acknowledged_survives_a_freeze_and_a_kill(
    server: ScratchServer, capfd: pytest.CaptureFixture[str]
) -> None:
    store = store_on(server, 10)
    store.ensure(VIEW)
    store.close()
    store = store_on(server, 2)
    capfd.readouterr()
    printed: list[tuple[str, str]] = []
    writer = Writer(store, VIEW, VECTOR)
    writer.live_through(
        (server.freeze, server.thaw),
        (server.kill, server.up),
        meanwhile=lambda: printed.append(capfd.readouterr()),
    )
    assert printed == [("", "")] * 2
    assert [key for key, _ in store.scan(VIEW)] == sorted(writer.keys)
    assert store.count(VIEW) == len(writer.keys)
    store.close()
