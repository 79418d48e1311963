"""The adapter of Milvus: the common suite, and what only this store can do.

On milvus-lite of the local stack, and on a real server by `make test-milvus`: MILVUS_URI names it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from processor.errors import Misconfigured, Unavailable
from processor.settings import Settings
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Applied, Held, Put, Record, Refused, Remove, Restamp
from processor.stores.milvus import MilvusStore
from processor.stores.milvus_client import connect
from processor.stores.milvus_schema import one_of
from processor.stores.milvus_values import NULL_TIME
from processor.tables.base import View
from processor.vector import Vector, hash_text
from tests.conformance import HOSTILE_KEYS, VIEW_FIELDS, StoreConformance, body

MODEL = "test/model"
DIM = 16
STAMP, LATER = Stamp(1, 1, 1, "f"), Stamp(2, 2, 2, "e")


def vector_of(text: str, model: str = MODEL, dim: int = DIM) -> Vector:
    """A vector of unit length that depends on the text alone."""
    values = np.random.default_rng(int(hash_text(text), 16)).standard_normal(dim).astype(np.float32)
    return Vector(values / np.linalg.norm(values), model, hash_text(text))


def put(key: str, changes: Mapping[str, object] | None = None, stamp: Stamp = STAMP) -> Put:
    return Put(key, None, stamp, {**body(key), **(changes or {})}, vector_of(key))


@pytest.fixture(scope="module")
def raw(settings: Settings) -> Iterator[Any]:
    client = connect(settings.milvus)
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
def store(made: tuple[MilvusStore, View], view: View) -> MilvusStore:
    return made[0]


class TestMilvusStore(StoreConformance):
    """The suite that every store passes."""

    def put(self, key: str, expected: Held | None, stamp: Stamp, body: Mapping[str, object]) -> Put:
        return Put(key, expected, stamp, body, vector_of(str(body["name"])))


def found(raw: Any, store: MilvusStore, view: View, where: str) -> list[str]:
    """As a reader searches: by alias."""
    rows = raw.query(view.name, filter=where, output_fields=["_key"], consistency_level="Strong")
    return sorted(row["_key"] for row in rows)


def test_vectors_come_back_byte_by_byte_with_their_origin(store: MilvusStore, view: View) -> None:
    awkward = np.array([1e-45, -0.0, 3.4e38, 1 / 3] * 4, dtype=np.float32)
    vectors = {"usual": vector_of("usual"), "awkward": Vector(awkward, MODEL, hash_text("x"))}
    store.apply(view, [Put(key, None, STAMP, body(), vector) for key, vector in vectors.items()])
    held, records = store.stamps(view, list(vectors)), store.read(view, list(vectors))
    for key, vector in vectors.items():
        for read in (held[key].vector, records[key].vector):
            assert read == vector
            assert read is not None
            assert read.values.dtype == np.float32
            assert read.checksum == vector.checksum


def test_other_fields_and_the_stamp_change_while_the_vector_stays(store: MilvusStore, view: View) -> None:
    store.apply(view, [put("k")])
    held = store.stamps(view, ["k"])["k"]
    moved = Put("k", held, LATER, body("moved"), held.vector)
    assert store.apply(view, [moved]) == [Applied()]
    assert store.read(view, ["k"])["k"] == Record(LATER, body("moved"), vector_of("k"))
    last = Stamp(3, 3, None, "d")
    assert store.apply(view, [Restamp("k", store.stamps(view, ["k"])["k"], last)]) == [Applied()]
    assert store.read(view, ["k"])["k"] == Record(last, body("moved"), vector_of("k"))


def test_readers_search_by_vector_and_filter_by_fields(store: MilvusStore, view: View, raw: Any) -> None:
    store.apply(view, [put(f"k{n}", {"amount": n, "regions": [str(n), "all"]}) for n in range(20)])
    (hits,) = raw.search(
        view.name,
        data=[vector_of("k7").values.tolist()],
        filter='array_contains(regions, "all") and amount < 10',
        limit=3,
        output_fields=["name"],
        consistency_level="Strong",
    )
    assert hits[0]["entity"]["name"] == "k7"
    assert hits[0]["distance"] == pytest.approx(1, abs=1e-6)
    assert [hit["distance"] for hit in hits] == sorted((hit["distance"] for hit in hits), reverse=True)


def test_a_null_is_told_from_the_value_that_stands_for_it(store: MilvusStore, view: View, raw: Any) -> None:
    nothing = dict.fromkeys(VIEW_FIELDS)
    stands_in = {"amount": -1, "rate": -1.0, "name": "", "regions": [], "active": False}
    store.apply(
        view, [put("null", nothing), put("value", stands_in), put("list", {"regions": ["11", None, ""]})]
    )
    bodies = {key: record.body for key, record in store.read(view, ["null", "value", "list"]).items()}
    assert bodies["null"] == nothing
    assert bodies["value"] == {**body("value"), **stands_in}
    assert bodies["list"]["regions"] == ["11", None, ""]
    assert found(raw, store, view, "amount == -1") == ["null", "value"]
    assert found(raw, store, view, 'amount == -1 and not array_contains(_nulls, "amount")') == ["value"]
    assert found(raw, store, view, f"changed == {NULL_TIME}") == ["null"]
    assert found(raw, store, view, "changed >= 0") == ["list", "value"]
    assert found(raw, store, view, 'starts >= "2025-01-01" and starts < "2025-02-01"') == ["list", "value"]


def test_what_cannot_be_held_is_refused_and_its_neighbours_are_written(
    store: MilvusStore, view: View
) -> None:
    writes = [
        put("a"),
        put("long", {"title": "가" * 21_846}),
        Put("short", None, STAMP, body(), vector_of("short", dim=DIM - 1)),
        put("k" * 1_025),
        put("z"),
    ]
    outcomes = store.apply(view, writes)
    reasons = [outcome.reason.split(":")[0] for outcome in outcomes if isinstance(outcome, Refused)]
    assert reasons == ["title", "embedding", "key"]
    assert set(store.read(view, [write.key for write in writes])) == {"a", "z"}


def test_the_longest_texts_and_keys_fit(store: MilvusStore, view: View) -> None:
    texts = {"title": "가" * 21_845, "name": "\n" * 65_535, "regions": ["x" * 65_535, ""] + ["11"] * 4_094}
    keys = [f"{n:04d}" + "가" * 340 for n in range(500)]
    assert {len(key.encode()) for key in keys} == {1_024}
    writes = [put(keys[0], texts), *map(put, keys[1:])]
    assert store.apply(view, writes) == [Applied()] * 500
    assert store.read(view, keys[:1])[keys[0]].body == {**body(keys[0]), **texts}
    assert set(store.stamps(view, keys)) == set(keys)
    held = store.stamps(view, keys)
    assert store.apply(view, [Remove(key, held[key]) for key in keys]) == [Applied()] * 500
    assert store.stamps(view, keys) == {}


@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.sets(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1))
def test_whatever_a_key_holds_it_names_its_own_record(store: MilvusStore, view: View, keys: set[str]) -> None:
    assert store.apply(view, [put(key) for key in keys]) == [Applied()] * len(keys)
    records = store.read(view, [*keys, *HOSTILE_KEYS])
    assert {key: record.body["name"] for key, record in records.items()} == {key: key for key in keys}
    assert [key for key, _ in store.scan(view)] == sorted(keys, key=str.encode)
    removes = [Remove(key, held) for key, held in store.stamps(view, list(keys)).items()]
    assert store.apply(view, removes) == [Applied()] * len(keys)
    assert store.count(view) == 0


def test_a_record_of_somebody_else_is_overwritten_by_the_next_change(
    store: MilvusStore, view: View, raw: Any
) -> None:
    store.apply(view, [put("k"), put("other")])
    (row,) = raw.query(view.name, filter=one_of(["k"]), output_fields=["*"], consistency_level="Strong")
    raw.upsert(store.collection(view), [{**row, "_fp": "", "_version": 2**63 - 1, "embedding": [0.5] * DIM}])
    held = store.stamps(view, ["k", "other"])
    assert (held["k"].stamp, held["k"].vector) == (UNREADABLE, None)
    assert held["other"].stamp == STAMP
    assert dict(store.scan(view)) == {"k": UNREADABLE, "other": STAMP}
    assert store.read(view, ["k"])["k"].vector is None
    assert store.apply(view, [Put("k", held["k"], LATER, body("k"), vector_of("k"))]) == [Applied()]
    assert store.read(view, ["k"])["k"] == Record(LATER, body("k"), vector_of("k"))


def test_a_collection_that_is_not_in_memory_is_loaded(store: MilvusStore, view: View, raw: Any) -> None:
    store.apply(view, [put("k")])
    raw.release_collection(store.collection(view))
    again = Retrying(
        retry=retry_if_exception_type(Unavailable), wait=wait_fixed(0.1), stop=stop_after_delay(30)
    )
    assert again(lambda: dict(store.scan(view))) == {"k": STAMP}


def test_a_missing_collection_is_a_misconfiguration(store: MilvusStore) -> None:
    absent = View(store="milvus", name=f"absent_{uuid.uuid4().hex}", fields=VIEW_FIELDS)
    for use in (
        lambda: store.stamps(absent, ["k"]),
        lambda: store.apply(absent, [put("k")]),
        lambda: store.apply(absent, [Remove("k", Held(STAMP, {}))]),
        lambda: list(store.scan(absent)),
        lambda: store.count(absent),
    ):
        with pytest.raises(Misconfigured, match=r"answered 100: .*not") as caught:
            use()
        assert "restart the processor" in str(caught.value.hint)


def test_a_server_that_is_away_is_unavailable_and_nothing_is_printed(
    settings: Settings, view: View, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    away = MilvusStore(settings.milvus.model_copy(update={"uri": "http://127.0.0.1:9"}), MODEL, DIM)
    for use in (lambda: away.stamps(view, ["k"]), lambda: away.ensure(view), away.ping):
        with pytest.raises(Unavailable, match=r"UNAVAILABLE: .*Connection refused") as caught:
            use()
        assert "aegis stack up milvus" in str(caught.value.hint)
        assert "MILVUS_URI" in str(caught.value.hint)
    away.close()
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_database_that_does_not_exist_is_a_misconfiguration(settings: Settings, view: View) -> None:
    lost = MilvusStore(settings.milvus.model_copy(update={"database": "nowhere"}), MODEL, DIM)
    with pytest.raises(Misconfigured, match="there is no database nowhere"):
        lost.ensure(view)
    lost.close()


def test_credentials_are_sent_when_they_are_set(settings: Settings, store: MilvusStore, view: View) -> None:
    for identity in ({"user": "app", "password": "s3cret"}, {"token": "s3cret"}):
        block = settings.milvus.model_dump() | identity
        known = MilvusStore(type(settings.milvus).model_validate(block), MODEL, DIM)
        assert known.stamps(view, ["k"]) == {}  # a server without accounts accepts them
        known.close()
