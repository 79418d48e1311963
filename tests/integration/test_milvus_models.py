"""One collection per view and model: made, shown to readers by an alias, replaced without a gap."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from processor.errors import Misconfigured
from processor.settings import Settings
from processor.stamp import Stamp
from processor.stores.base import Put
from processor.stores.milvus import MilvusStore
from processor.stores.milvus_client import connect
from processor.tables.base import FieldType, View
from processor.vector import Vector

OLD, NEW = ("model/old", 4), ("model/new", 6)
StoreOf = Callable[..., MilvusStore]


@pytest.fixture(scope="module")
def raw(settings: Settings) -> Iterator[Any]:
    client = connect(settings.milvus)
    yield client
    client.close()


@pytest.fixture
def view(raw: Any) -> Iterator[View]:
    view = View(store="milvus", name=f"test_{uuid.uuid4().hex}", fields={"name": FieldType.KEYWORD})
    yield view
    raw.drop_alias(view.name)
    for name in raw.list_collections():
        if name.startswith(view.name):
            raw.drop_collection(name)


@pytest.fixture
def store_of(settings: Settings) -> Iterator[StoreOf]:
    stores: list[MilvusStore] = []

    def make(model: str, dim: int) -> MilvusStore:
        stores.append(MilvusStore(settings.milvus, model, dim))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def put(store: MilvusStore, name: str) -> Put:
    vector = Vector(np.full(store.dim, store.dim**-0.5, dtype=np.float32), store.model, "")
    return Put("k", None, Stamp(1, 1, 1, "f"), {"name": name}, vector)


def seen(raw: Any, view: View) -> list[str]:
    """What readers find."""
    rows = raw.query(view.name, filter='_key >= ""', output_fields=["name"], consistency_level="Strong")
    return [row["name"] for row in rows]


def test_another_model_is_filled_beside_and_shown_at_once(view: View, raw: Any, store_of: StoreOf) -> None:
    old, new = store_of(*OLD), store_of(*NEW)
    assert old.shown(view) is None
    old.ensure(view)
    old.apply(view, [put(old, "old")])
    assert old.shown(view) == new.shown(view) == OLD

    for _ in range(2):
        assert new.build(view) == new.collection(view)
    new.apply(view, [put(new, "new")])
    assert seen(raw, view) == ["old"]
    assert old.read(view, ["k"])["k"].body == {"name": "old"}
    with pytest.raises(Misconfigured, match="does not show"):
        new.drop_others(view)

    for _ in range(2):
        new.switch(view)
        assert seen(raw, view) == ["new"]
    assert old.shown(view) == NEW
    assert old.read(view, ["k"])["k"].body == {"name": "old"}
    assert new.drop_others(view) == [old.collection(view)]
    assert new.drop_others(view) == []
    new.ensure(view)
    with pytest.raises(Misconfigured, match="answered 100"):
        old.read(view, ["k"])


def test_readers_who_see_another_model_are_a_misconfiguration(
    view: View, raw: Any, store_of: StoreOf
) -> None:
    store_of(*OLD).ensure(view)
    new = store_of(*NEW)
    with pytest.raises(
        Misconfigured, match=r"holds vectors of model model/old \(4\), configured is model/new \(6\)"
    ) as caught:
        new.ensure(view)
    assert caught.value.hint == "aegis reembed"
    assert not raw.has_collection(new.collection(view))


def test_what_was_not_built_is_not_shown(view: View, store_of: StoreOf) -> None:
    store_of(*OLD).ensure(view)
    with pytest.raises(Misconfigured, match="is missing"):
        store_of(*NEW).switch(view)
    assert store_of(*NEW).shown(view) == OLD


def test_processes_that_start_together_make_one_collection(view: View, raw: Any, store_of: StoreOf) -> None:
    stores = [store_of(*OLD) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as threads:
        list(threads.map(lambda store: store.ensure(view), stores))
    assert [name for name in raw.list_collections() if name.startswith(view.name)] == [
        stores[0].collection(view)
    ]
    stores[0].apply(view, [put(stores[0], "one")])
    assert seen(raw, view) == ["one"]


def test_what_an_interrupted_start_left_is_completed(view: View, raw: Any, store_of: StoreOf) -> None:
    store = store_of(*OLD)
    store.ensure(view)
    name = store.collection(view)
    raw.release_collection(name)
    raw.drop_index(name, "embedding")
    raw.drop_alias(view.name)
    store.ensure(view)
    store.apply(view, [put(store, "there")])
    assert seen(raw, view) == ["there"]


def test_a_collection_that_an_operator_dropped_comes_back_under_its_alias(
    view: View, raw: Any, store_of: StoreOf
) -> None:
    store = store_of(*OLD)
    store.ensure(view)
    raw.drop_collection(store.collection(view))  # a server keeps the alias, which then stands for nothing
    again = store_of(*OLD)
    again.ensure(view)
    again.apply(view, [put(again, "back")])
    assert seen(raw, view) == ["back"]


def test_a_collection_in_place_of_the_alias_is_a_misconfiguration(
    view: View, raw: Any, store_of: StoreOf
) -> None:
    raw.create_collection(view.name, dimension=4)
    with pytest.raises(Misconfigured, match="is a collection, where readers need an alias") as caught:
        store_of(*OLD).ensure(view)
    assert f"drop collection {view.name}" in str(caught.value.hint)


def test_a_collection_of_other_columns_is_a_misconfiguration_that_names_them(
    view: View, raw: Any, store_of: StoreOf
) -> None:
    store_of(*OLD).ensure(view)
    fields = {"name": FieldType.LONG, "added": FieldType.DATE}
    with pytest.raises(Misconfigured, match=r"name is VARCHAR; added is missing") as caught:
        store_of(*OLD).ensure(dataclasses.replace(view, fields=fields))
    assert "aegis refresh TABLE --where true --stores milvus" in str(caught.value.hint)
    with pytest.raises(Misconfigured, match="name is not the view's"):
        store_of(*OLD).ensure(dataclasses.replace(view, fields={}))


def test_a_collection_of_somebody_elses_under_our_name_is_a_misconfiguration(
    view: View, raw: Any, store_of: StoreOf
) -> None:
    store = store_of(*OLD)
    raw.create_collection(store.collection(view), dimension=4)
    with pytest.raises(Misconfigured, match="is not as Aegis makes it: _key is missing"):
        store.ensure(view)
