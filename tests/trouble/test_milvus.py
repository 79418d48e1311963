"""A vector store in trouble: over its quota, full, gone; on a server of its own.

On milvus-lite, and on a real server by `make test-milvus`: AEGIS_TEST_MILVUS names the service.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.errors import Unavailable
from processor.settings import MilvusSettings
from processor.stores import milvus_collections
from processor.stores.base import Applied, Outcome
from processor.stores.milvus import MilvusStore
from processor.stores.milvus_schema import columns_of
from processor.stores.milvus_values import Column
from processor.tables.base import View
from processor.vector import Vector
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

SERVICE = os.environ.get("AEGIS_TEST_MILVUS", "milvus")
VIEW = View("milvus", "things", VIEW_FIELDS)
VECTOR = Vector(np.full(16, 0.25, dtype=np.float32), "test/model", "")
pytestmark = pytest.mark.native("starves and ends a server of its own")
on_a_server = pytest.mark.skipif(SERVICE == "milvus", reason="milvus-lite has no quotas: make test-milvus")


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    with scratch_server(SERVICE) as server:
        yield server


@pytest.fixture
def store(server: ScratchServer) -> Iterator[MilvusStore]:
    store = store_on(server)
    retried(store.ensure, VIEW)
    yield store
    store.close()


def store_on(server: ScratchServer) -> MilvusStore:
    settings = MilvusSettings.model_validate({"uri": server.url, "timeout_seconds": 10})
    return MilvusStore(settings, VECTOR.model, len(VECTOR.values))


def test_a_server_that_is_gone_and_comes_back_is_waited_for(
    server: ScratchServer, store: MilvusStore
) -> None:
    trouble = ended(server)
    assert_waited_for(store, VIEW, trouble, "answered|broke", puts("gone", vector=VECTOR), hint="MILVUS_URI")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("title", "가" * 21_846, "title: 65538 bytes"),
        ("name", {"a set"}, "name: "),
        ("name", "half a pair: \ud800", "name: "),
        ("rate", float("nan"), "rate: "),
    ],
    ids=["long", "set", "surrogate", "nan"],
)
def test_one_bad_row_among_two_hundred_is_refused_alone(
    store: MilvusStore, field: str, value: object, reason: str, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    (bad,) = puts(f"bad-{name}", 1, {field: value}, VECTOR)
    assert_only_refused(store, VIEW, puts(f"good-{name}", 199, vector=VECTOR), bad, reason)


@pytest.mark.parametrize(
    "vector",
    [
        replace(VECTOR, values=np.full(15, 0.25, dtype=np.float32)),
        replace(VECTOR, values=np.full(16, np.nan, dtype=np.float32)),
    ],
    ids=["dimension", "nan"],
)
def test_one_bad_vector_among_two_hundred_is_refused_alone(
    store: MilvusStore, vector: Vector, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    (bad,) = puts(f"badv-{name}", 1, vector=vector)
    assert_only_refused(store, VIEW, puts(f"goodv-{name}", 199, vector=VECTOR), bad, "embedding: ")


def test_a_row_that_only_the_server_refuses_is_found_among_two_hundred(
    server: ScratchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection whose titles are shorter than the adapter knows."""

    def narrow(view: View, dim: int) -> dict[str, Column]:
        return {**columns_of(view, dim), "title": Column("VARCHAR", 100)}

    monkeypatch.setattr(milvus_collections, "columns_of", narrow)
    view = View("milvus", "narrow", VIEW_FIELDS)
    store = store_on(server)
    store.ensure(view)
    (bad,) = puts("bad", 1, {"title": "x" * 101}, VECTOR)
    assert_only_refused(store, view, puts("good", 199, vector=VECTOR), bad, "exceeds max")
    store.close()


def test_a_full_disk_is_waited_for() -> None:
    with scratch_server(SERVICE, disk_mb=60 if SERVICE == "milvus" else 400) as server:
        if SERVICE != "milvus":
            pytest.skip("a Milvus server on a full disk ends, and with it its embedded etcd")
        store = store_on(server)
        retried(store.ensure, VIEW)
        large = puts("full", 200, {"title": "가" * 10_000}, VECTOR)
        assert_waited_for(store, VIEW, full_disk(server), "No space left", large)
        store.close()


@on_a_server
def test_a_server_that_denies_writes_is_waited_for(server: ScratchServer, store: MilvusStore) -> None:
    writes = puts("denied", vector=VECTOR)
    quota = "quotaAndLimits:\n  enabled: true\n  limitWriting:\n    forceDeny: true"
    server.restart_with("milvus.yaml", quota)

    def attempt() -> str | list[Outcome]:
        try:
            return write(store, VIEW, writes)
        except Unavailable as error:
            return str(error)

    # the proxy learns of it some seconds after it answers
    until_denied = Retrying(
        retry=retry_if_result(lambda found: "quota exceeded" not in found),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(60),
    )
    assert "has been deactivated by the administrator" in until_denied(attempt)
    server.stop()
    server.up()
    assert_written(store, VIEW, writes)
    assert write(store, VIEW, writes) == [Applied()] * len(writes)
