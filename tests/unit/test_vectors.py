"""Vectors are made once per text and kept with it; a lease guards a store that cannot compare and set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from processor.decide import Wanted, decide
from processor.embed import Embedder
from processor.errors import Unavailable
from processor.lease import Lease
from processor.stamp import Stamp
from processor.stores.base import Held, Put, Restamp
from processor.stores.memory import MemoryStore
from processor.tables.base import FieldType, Text, View
from processor.vector import Vector, hash_text
from processor.writer import bring

VIEW = View("memory", "v", {"name": FieldType.KEYWORD}, text=Text(("name",), lambda row: str(row["name"])))


class Letters:
    """An encoder small enough to follow: it counts letters. Notes what it was asked."""

    dim = 3

    def __init__(self, model: str = "letters") -> None:
        self.model = model
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        counts = np.array([[1 + text.count(letter) for letter in "abc"] for text in texts], dtype=np.float32)
        vectors: NDArray[np.float32] = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return vectors

    def close(self) -> None:
        pass


def wanted(key: str, text: str, version: int = 1, fp: str | None = None) -> Wanted:
    return Wanted(key, Stamp(version, version, 1, fp or f"fp of {text}"), {"name": text}, text=text)


def store() -> MemoryStore:
    store = MemoryStore()
    store.ensure(VIEW)
    return store


def test_every_record_gets_the_vector_of_its_own_text() -> None:
    target, encoder = store(), Letters()
    bring(target, VIEW, {k: wanted(k, t) for k, t in (("1", "aa"), ("2", "b"))}, Embedder(encoder))
    records = target.read(VIEW, ["1", "2"])
    for key, text in (("1", "aa"), ("2", "b")):
        assert records[key].vector == Vector(Letters().encode([text])[0], "letters", hash_text(text))


def test_a_change_beside_the_text_keeps_the_stored_vector_byte_for_byte() -> None:
    target, encoder = store(), Letters()
    bring(target, VIEW, {"1": wanted("1", "aa")}, Embedder(encoder))
    before = target.read(VIEW, ["1"])["1"].vector
    fresh = Embedder(encoder)
    bring(target, VIEW, {"1": wanted("1", "aa", version=2, fp="another column changed")}, fresh)
    after = target.read(VIEW, ["1"])["1"]
    assert after.stamp.version == 2
    assert before is not None
    assert after.vector is not None
    assert after.vector.values.tobytes() == before.values.tobytes()
    assert (encoder.asked, fresh.encoded) == (["aa"], 0)


def test_a_changed_text_is_embedded_anew() -> None:
    target, encoder = store(), Letters()
    embedder = Embedder(encoder)
    bring(target, VIEW, {"1": wanted("1", "aa")}, embedder)
    bring(target, VIEW, {"1": wanted("1", "ab", version=2)}, embedder)
    assert target.read(VIEW, ["1"])["1"].vector == Vector(
        Letters().encode(["ab"])[0], "letters", hash_text("ab")
    )
    assert (encoder.asked, embedder.encoded) == (["aa", "ab"], 2)


def test_rows_with_one_text_and_a_batch_that_is_tried_again_are_embedded_once() -> None:
    encoder = Letters()
    embedder = Embedder(encoder)
    batch = {key: wanted(key, "same") for key in "12"}
    for _ in range(2):  # the store took nothing, and everything is decided again
        bring(store(), VIEW, batch, embedder)
    assert encoder.asked == ["same"]


def test_equal_contents_with_a_vector_of_another_model_or_text_are_written_again() -> None:
    values = Letters().encode(["aa"])[0]
    later = wanted("1", "aa", version=2)
    stamp = wanted("1", "aa").stamp

    def decision(vector: Vector | None) -> object:
        return type(decide(later, Held(stamp, 0, vector), "letters"))

    assert decision(Vector(values, "letters", hash_text("aa"))) is Restamp
    assert decision(Vector(values, "other", hash_text("aa"))) is Put
    assert decision(Vector(values, "letters", hash_text("ab"))) is Put
    assert decision(None) is Put


def test_a_vectors_checksum_shows_a_change_of_one_bit() -> None:
    values = Letters().encode(["aa"])[0]
    other = values.copy()
    other[0] = np.nextafter(other[0], np.float32(1))
    assert Vector(values, "m", "h").checksum != Vector(other, "m", "h").checksum


def test_a_lease_ends_with_the_session_unless_the_consumer_is_polled() -> None:
    now = 0.0
    lease = Lease(10, clock=lambda: now)
    lease.check("milvus", call_seconds=5)
    now = 5.5
    with pytest.raises(Unavailable, match="was not polled lately"):
        lease.check("milvus", call_seconds=5)
    lease.renew()
    lease.check("milvus", call_seconds=5)
    lease.end()
    with pytest.raises(Unavailable):
        lease.check("milvus", call_seconds=0)
