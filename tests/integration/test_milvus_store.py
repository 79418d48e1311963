"""The adapter of Milvus: the common suite, and what only this store can do.

On milvus-lite of the local stack, and by `make test-milvus` on a real server: MILVUS_URI names it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from processor.settings import Settings
from processor.stamp import Stamp
from processor.stores.base import Held, Put, Store
from processor.stores.milvus import MilvusStore
from processor.stores.milvus_client import library
from processor.stores.milvus_schema import one_of
from processor.tables.base import View
from processor.vector import Vector, hash_text
from tests.conformance import VIEW_FIELDS, StoreConformance

MODEL = "test/model"
DIM = 16


def vector_of(text: str, model: str = MODEL, dim: int = DIM) -> Vector:
    """A vector of unit length that depends on the text alone."""
    seed = int(hash_text(text), 16)
    values = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return Vector(values / np.linalg.norm(values), model, hash_text(text))


def put_of(key: str, expected: Held | None, stamp: Stamp, body: Mapping[str, object]) -> Put:
    return Put(key, expected, stamp, body, vector_of(str(body["name"])))


@pytest.fixture(scope="module")
def raw(settings: Settings) -> Iterator[Any]:
    client = library().MilvusClient(settings.milvus.uri, timeout=5, dedicated=True)
    yield client
    client.close()


@pytest.fixture(scope="module")
def made(settings: Settings, raw: Any) -> Iterator[tuple[MilvusStore, View]]:
    """Made once: a server takes seconds to load a collection."""
    view = View(store="milvus", name=f"test_{uuid.uuid4().hex}", fields=VIEW_FIELDS)
    store = MilvusStore(settings.milvus, MODEL, DIM)
    store.ensure(view)
    yield store, view
    store.close()
    raw.drop_alias(view.name)
    raw.drop_collection(store.collection(view))


@pytest.fixture
def view(made: tuple[MilvusStore, View], raw: Any) -> Iterator[View]:
    store, view = made
    yield view
    found = raw.query(
        store.collection(view), '_key >= ""', ["_key"], limit=16_000, consistency_level="Strong"
    )
    if found:
        raw.delete(store.collection(view), filter=one_of(row["_key"] for row in found))


@pytest.fixture
def store(made: tuple[MilvusStore, View], view: View) -> Store:
    return made[0]


class TestMilvusStore(StoreConformance):
    """The suite that every store passes."""

    def put(self, key: str, expected: Held | None, stamp: Stamp, body: Mapping[str, object]) -> Put:
        return put_of(key, expected, stamp, body)
