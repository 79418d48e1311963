"""A cache in trouble: full, crowded, slow, without replicas, gone; on a server of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from processor.errors import Unavailable
from processor.settings import RedisSettings
from processor.stores.redis import RedisStore
from processor.tables.base import View
from tests.conformance import VIEW_FIELDS
from tests.integration.scratch_server import ScratchServer, full_disk, scratch_server
from tests.trouble.checks import assert_only_refused, assert_waited_for, assert_written, ended, puts, write

pytestmark = pytest.mark.native("starves and ends a server of its own")

VIEW = View("redis", "things", VIEW_FIELDS)


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    with scratch_server("redis") as server:
        yield server


@pytest.fixture
def raw(server: ScratchServer) -> Iterator[Redis]:
    with Redis.from_url(server.endpoints["REDIS_URL"]) as client:
        yield client
        client.flushall()


@pytest.fixture
def store(server: ScratchServer, raw: Redis) -> Iterator[RedisStore]:
    store = store_on(server)
    yield store
    store.close()


def store_on(server: ScratchServer) -> RedisStore:
    settings = {"url": server.endpoints["REDIS_URL"], "timeout_seconds": 0.5}
    return RedisStore(RedisSettings.model_validate(settings))


@contextmanager
def configured(raw: Redis, name: str, value: int) -> Iterator[None]:
    before = str(raw.config_get(name)[name])
    raw.config_set(name, value)
    try:
        yield
    finally:
        raw.config_set(name, before)


def test_missing_replicas_are_waited_for(store: RedisStore, raw: Redis) -> None:
    trouble = configured(raw, "min-replicas-to-write", 1)
    assert_waited_for(
        store, VIEW, trouble, "NOREPLICAS", puts("replicas"), hint="start the server's replicas"
    )


def test_a_server_that_is_gone_and_comes_back_is_waited_for(server: ScratchServer, store: RedisStore) -> None:
    assert_waited_for(store, VIEW, ended(server), "does not answer", puts("gone"))


def test_a_server_that_takes_no_more_clients_is_waited_for(
    server: ScratchServer, store: RedisStore, raw: Redis
) -> None:
    crowd = [Redis.from_url(server.endpoints["REDIS_URL"]) for _ in range(2)]
    with configured(raw, "maxclients", 2):
        for other in crowd[:1]:
            other.ping()
        with pytest.raises(Unavailable, match="max number of clients"):
            store.stamps(VIEW, ["k"])
    assert_written(store, VIEW, puts("crowd"))
    for other in crowd:
        other.close()


def test_answers_that_come_too_late_are_not_taken_for_those_of_the_next_call(
    store: RedisStore, raw: Redis
) -> None:
    """The server does what it was told, after we have given up on it."""
    late, next_ones = puts("late", 200), puts("next", 200)
    raw.client_pause(1_500, all=False)
    with pytest.raises(Unavailable, match="Timeout"):
        store.apply(VIEW, late)
    raw.client_unpause()
    assert_written(store, VIEW, next_ones)
    assert_written(store, VIEW, late)


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", {"a set"}), ("rate", float("nan")), ("title", "half a pair: \ud800")],
    ids=["set", "nan", "surrogate"],
)
def test_one_bad_row_among_two_hundred_is_refused_alone(store: RedisStore, field: str, value: object) -> None:
    (bad,) = puts("bad", 1, {field: value})
    assert_only_refused(store, VIEW, puts("good", 199), bad, f"{field}: ")


def test_a_full_disk_is_waited_for_also_when_it_ends_the_server() -> None:
    with scratch_server("redis", disk_mb=20) as server, Redis.from_url(server.endpoints["REDIS_URL"]) as raw:
        store = store_on(server)
        large = puts("full", 200, {"title": "가" * 3_000})
        assert_waited_for(store, VIEW, full_disk(server), "MISCONF", large, hint="write to its disk")
        raw.config_set("appendfsync", "always")
        with full_disk(server):
            for match in ("does not answer", "Connection refused"):
                with pytest.raises(Unavailable, match=match):
                    write(store, VIEW, puts("fatal", 200, {"title": "가" * 3_000}))
        server.up()
        assert_written(store, VIEW, puts("fatal", 200, {"title": "가" * 3_000}))
        assert_written(store, VIEW, large)
        store.close()
