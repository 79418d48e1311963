"""The cache's adapter on the real server: the common suite, and what only this store can do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from redis import Redis

from processor.settings import Settings
from processor.stores.redis import RedisStore
from processor.tables.base import View
from tests.conformance import VIEW_FIELDS, CompareAndSetConformance


@pytest.fixture
def raw(settings: Settings) -> Iterator[Redis]:
    with Redis.from_url(settings.redis.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def view(raw: Redis) -> Iterator[View]:
    view = View(store="redis", name=f"test-{uuid.uuid4().hex}", fields=VIEW_FIELDS)
    yield view
    for key in raw.scan_iter(f"{view.name}*", count=1_000):
        raw.unlink(key)


@pytest.fixture
def store(settings: Settings, view: View) -> Iterator[RedisStore]:
    store = RedisStore(settings.redis)
    store.ensure(view)
    yield store
    store.close()


class TestRedisStore(CompareAndSetConformance):
    """The suite that every store passes."""
