"""An index in trouble: blocked, without memory, full, frozen, killed; on a server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from elasticsearch import Elasticsearch

from processor.errors import Unavailable
from processor.settings import SearchSettings
from processor.stores.base import Put
from processor.stores.elasticsearch import ElasticsearchStore
from processor.tables.base import View
from tests.conformance import VIEW_FIELDS
from tests.integration.scratch_server import ScratchServer, full_disk, scratch_server
from tests.integration.writer import Writer
from tests.trouble.checks import (
    LATER,
    assert_only_refused,
    assert_waited_for,
    assert_written,
    ended,
    puts,
    retried,
    write,
)

pytestmark = pytest.mark.native("starves, freezes and kills a server of its own")

VIEW = View("elasticsearch", "things", VIEW_FIELDS)
INDEX = "aegis-things"
HEAP_SHARE = 53_687_091
"""Bytes that all requests together may take of a heap of 512 MB."""


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    with scratch_server("elasticsearch") as server:
        yield server


@pytest.fixture
def store(server: ScratchServer) -> Iterator[ElasticsearchStore]:
    store = store_on(server, 10)
    retried(store.ensure, VIEW)
    yield store
    store.close()


@pytest.fixture
def raw(server: ScratchServer) -> Iterator[Elasticsearch]:
    with Elasticsearch(server.url, request_timeout=60) as client:
        yield client


def store_on(server: ScratchServer, timeout_seconds: float) -> ElasticsearchStore:
    settings = {"url": server.url, "timeout_seconds": timeout_seconds}
    return ElasticsearchStore(SearchSettings.model_validate(settings))


@contextmanager
def index_set(raw: Elasticsearch, name: str) -> Iterator[None]:
    raw.indices.put_settings(index=INDEX, settings={name: True})
    try:
        yield
    finally:
        raw.indices.put_settings(index=INDEX, settings={name: None})


@contextmanager
def cluster_set(raw: Elasticsearch, name: str, value: object) -> Iterator[None]:
    raw.cluster.put_settings(persistent={name: value})
    try:
        yield
    finally:
        raw.cluster.put_settings(persistent={name: None})


@pytest.mark.parametrize(
    "block", ["index.blocks.read_only_allow_delete", "index.blocks.write", "index.blocks.read_only"]
)
def test_an_index_that_may_not_be_written_is_waited_for(
    store: ElasticsearchStore, raw: Elasticsearch, block: str
) -> None:
    trouble = index_set(raw, block)
    assert_waited_for(store, VIEW, trouble, "cluster_block", puts(block), hint="a block in its settings")


def test_a_cluster_that_may_not_be_written_is_waited_for_also_at_the_start(
    store: ElasticsearchStore, raw: Elasticsearch
) -> None:
    trouble = cluster_set(raw, "cluster.blocks.read_only", True)
    assert_waited_for(store, VIEW, trouble, "cluster_block", puts("cluster"), hint="a block in its settings")
    with index_set(raw, "index.blocks.metadata"), pytest.raises(Unavailable, match="cluster_block"):
        retried(store.ensure, VIEW)
    store.ensure(VIEW)


@pytest.mark.filterwarnings("ignore:.*is below the recommended minimum:elasticsearch.ElasticsearchWarning")
def test_a_server_without_memory_is_waited_for(store: ElasticsearchStore, raw: Elasticsearch) -> None:
    trouble = cluster_set(raw, "indices.breaker.total.limit", "5%")
    assert_waited_for(store, VIEW, trouble, "circuit_breaking", puts("breaker"))


def test_a_record_that_can_never_fit_is_refused_and_its_neighbours_are_written(
    store: ElasticsearchStore,
) -> None:
    (bad,) = puts("huge", 1, {"link": "x" * (HEAP_SHARE // 3)})
    assert_only_refused(store, VIEW, puts("beside-huge", 20), bad, "takes no request of this size")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("amount", "much", "failed to parse field [amount]"),
        ("rate", float("nan"), "failed to parse"),
        ("starts", "infinity", "failed to parse field [starts]"),
        ("name", {"a": {"b": 1}}, "failed to parse field [name]"),
        ("name", {"a set"}, "is no JSON"),
    ],
    ids=["type", "nan", "infinity", "nested", "no-json"],
)
def test_one_bad_row_among_two_hundred_is_refused_alone(
    store: ElasticsearchStore, field: str, value: object, reason: str, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    (bad,) = puts(f"bad-{name}", 1, {field: value})
    assert_only_refused(store, VIEW, puts(f"good-{name}", 199), bad, reason)


def test_a_term_too_long_for_somebody_elses_mapping_is_refused_alone(
    store: ElasticsearchStore, raw: Elasticsearch
) -> None:
    view = View("elasticsearch", "terms", VIEW_FIELDS)
    raw.indices.create(index="aegis-terms", mappings={"properties": {"name": {"type": "keyword"}}})
    bad = Put("bad", None, LATER, {"name": "가" * 11_000})
    good = [Put(f"good-{n}", None, LATER, {"name": "short"}) for n in range(199)]
    assert_only_refused(store, view, good, bad, "immense term")


def test_what_was_acknowledged_survives_a_freeze_and_a_kill(
    server: ScratchServer, store: ElasticsearchStore
) -> None:
    quick = store_on(server, 2)
    Writer(quick, VIEW).live_through((server.freeze, server.thaw), (server.kill, server.up))
    quick.close()


def test_a_server_that_is_gone_and_comes_back_is_waited_for(
    server: ScratchServer, store: ElasticsearchStore
) -> None:
    assert_waited_for(store, VIEW, ended(server), "does not answer", puts("gone"))


def test_a_full_disk_blames_no_row_and_what_was_not_taken_is_taken_after_a_restart() -> None:
    """A server that checks its disk blocks its indices before; this one finds out by failing.

    It then may be without a master for minutes, or have given up on a shard: a restart is the quick way.
    """
    with scratch_server("elasticsearch", disk_mb=150) as server:
        store = store_on(server, 20)
        retried(store.ensure, VIEW)
        large = puts("full", 200, {"title": "가" * 10_000})
        with full_disk(server):
            for _ in range(2):
                with pytest.raises(Unavailable):
                    write(store, VIEW, large)
        server.stop()
        server.up()
        assert_written(store, VIEW, large)
        store.close()
