"""Values and columns of the vector store: exact both ways, or refused with the field's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import RowRejected
from processor.rows import format_date, format_timestamp
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Put, Restamp
from processor.stores.milvus_schema import (
    KEY,
    VECTOR,
    Entity,
    after,
    collection_name,
    columns_of,
    entity_of_put,
    entity_of_restamp,
    held_of,
    is_collection_of,
    one_of,
    quote,
    record_of,
    size_of,
)
from processor.stores.milvus_values import NULL_TIME, NULLS
from processor.tables.base import FieldType, View
from processor.tables.forms import FIRST_DAY, LAST_DAY
from processor.vector import Vector, hash_text
from tests.conformance import HOSTILE_KEYS, VIEW_FIELDS, body

VIEW = View(store="milvus", name="things", fields=VIEW_FIELDS)
MODEL, DIM = "some/model", 4
STAMP = Stamp(7, 8, 9, "f")
VECTOR_OF_TEXT = Vector(np.array([0.5, -0.5, 0.5, 0.5], dtype=np.float32), MODEL, hash_text("text"))

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES: Mapping[FieldType, st.SearchStrategy[Any]] = {
    FieldType.KEYWORD: TEXT,
    FieldType.KOREAN: TEXT,
    FieldType.STORED: TEXT,
    FieldType.KEYWORDS: st.lists(st.none() | TEXT, max_size=5),
    FieldType.LONG: st.integers(-(2**63), 2**63 - 1),
    FieldType.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    FieldType.DATE: st.integers(FIRST_DAY, LAST_DAY).map(format_date),
    FieldType.TIMESTAMP: st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999).map(format_timestamp),
    FieldType.BOOLEAN: st.booleans(),
}
BODIES = st.fixed_dictionaries({name: st.none() | VALUES[kind] for name, kind in VIEW_FIELDS.items()})


def put(
    body: Mapping[str, Any], key: str = "k", vector: Vector | None = VECTOR_OF_TEXT, stamp: Stamp = STAMP
) -> Put:
    return Put(key, None, stamp, body, vector)


def entity(changes: Mapping[str, Any] | None = None) -> Entity:
    return entity_of_put(VIEW, put({**body(), **(changes or {})}), MODEL, DIM)


@given(BODIES)
def test_every_body_is_read_back_as_it_was_written(values: dict[str, Any]) -> None:
    held = entity_of_put(VIEW, put(values), MODEL, DIM)
    assert held.keys() == columns_of(VIEW, DIM).keys()
    record = record_of(VIEW, held, MODEL)
    assert record.body == values
    assert list(record.body) == list(VIEW_FIELDS)
    assert (record.stamp, record.vector) == (STAMP, VECTOR_OF_TEXT)


def test_columns_never_hold_a_null_and_the_values_in_its_place_stay_legal() -> None:
    nothing = entity_of_put(VIEW, put(dict.fromkeys(VIEW_FIELDS)), MODEL, DIM)
    assert all(value is not None for value in nothing.values())
    assert nothing[NULLS] == list(VIEW_FIELDS)
    assert (nothing["amount"], nothing["rate"], nothing["changed"]) == (-1, -1.0, NULL_TIME)
    stands_in = {"amount": -1, "rate": -1.0, "name": "", "regions": [], "active": False}
    assert record_of(VIEW, entity(stands_in), MODEL).body == body() | stands_in
    assert entity({"regions": ["11", None]})[NULLS] == ["regions[1]"]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("title", "가" * 21_846, "65538 bytes"),
        ("title", "\ud800", "surrogates"),
        ("name", 5, "int, wanted str"),
        ("regions", "11", "str, wanted list"),
        ("regions", ["x"] * 4_097, "4097 items"),
        ("regions", ["x" * 65_536], "65536 bytes"),
        ("amount", "much", "'much' is a str"),
        ("amount", True, "bool"),
        ("amount", 2**63, "64 bits"),
        ("amount", 1.0, "float"),
        ("rate", float("nan"), "not a finite number"),
        ("rate", float("-inf"), "not a finite number"),
        ("starts", "20250101", "not a day"),
        ("starts", "infinity", "isoformat"),
        ("changed", "2025-01-01T00:00:00Z", "not a time"),
        ("changed", "infinity", "not a time"),
        ("active", 1, "int, wanted bool"),
        ("surprise", 1, "no such field"),
    ],
)
def test_what_cannot_be_held_is_refused_with_its_field(field: str, value: Any, reason: str) -> None:
    with pytest.raises(RowRejected, match=f"^{field}: .*{reason}"):
        entity({field: value})


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        (None, "there is none"),
        (Vector(VECTOR_OF_TEXT.values, "other", ""), "made by other, this collection is for some/model"),
        (Vector(np.zeros(3, np.float32), MODEL, ""), r"float32\[3\], this collection holds float32\[4\]"),
        (Vector(np.zeros((2, 2), np.float32), MODEL, ""), r"float32\[2, 2\]"),
        (Vector(np.zeros(4, np.float64), MODEL, ""), "float64"),
        (Vector(np.array([0, np.nan, 0, 0], np.float32), MODEL, ""), "not a finite number"),
    ],
)
def test_a_vector_that_would_harm_the_collection_is_refused(vector: Vector | None, reason: str) -> None:
    with pytest.raises(RowRejected, match=f"^embedding: .*{reason}"):
        entity_of_put(VIEW, put(body(), vector=vector), MODEL, DIM)


@pytest.mark.parametrize(("key", "size"), [("", 0), ("k" * 1_025, 1_025), ("가" * 342, 1_026)])
def test_a_key_of_a_length_that_cannot_be_held_is_refused(key: str, size: int) -> None:
    with pytest.raises(RowRejected, match=f"^key: {size} bytes"):
        entity_of_put(VIEW, put(body(), key=key), MODEL, DIM)


def test_a_restamp_names_every_column_again_and_changes_the_stamp_only() -> None:
    before = entity()
    later = Stamp(10, 11, None, "e")
    after = entity_of_restamp(Restamp("k", held_of(before, MODEL), later))
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] is not before[name]} == {"_version", "_seen", "_xid", "_fp"}
    assert held_of(after, MODEL).stamp == later


@pytest.mark.parametrize("column", [{"_version": -1}, {"_seen": -1}, {"_xid": -2}, {"_fp": ""}])
def test_a_stamp_that_is_none_of_ours_is_unreadable(column: Entity) -> None:
    assert held_of({**entity(), **column}, MODEL).stamp == UNREADABLE


def test_a_vector_that_somebody_changed_counts_as_none() -> None:
    changed = {**entity(), VECTOR: np.zeros(4, dtype=np.float32)}
    assert held_of(changed, MODEL).vector is None
    assert record_of(VIEW, changed, MODEL).vector is None


def unquote(literal: str) -> str:
    """As the servers read it: a backslash stands for what follows it, n and r are line ends."""
    assert (literal[0], literal[-1]) == ('"', '"')
    characters = iter(literal[1:-1])
    text = []
    for character in characters:
        assert character not in '"\n\r'
        escaped = next(characters) if character == "\\" else ""
        text.append({"n": "\n", "r": "\r"}.get(escaped, escaped) or character)
    return "".join(text)


@given(st.text(st.characters(codec="utf-8")) | st.sampled_from(HOSTILE_KEYS) | st.text("\\\"nr\n\r',"))
def test_a_quoted_text_is_one_literal_and_means_the_text(text: str) -> None:
    assert unquote(quote(text)) == text


def test_filters_name_the_key_column() -> None:
    assert one_of(["a", 'b"']) == f'{KEY} in ["a","b\\""]'
    assert after(None) == f'{KEY} >= ""'
    assert after("a\n") == f'{KEY} > "a\\n"'


def test_each_model_and_dimension_has_a_collection_of_its_own_that_is_known_by_its_name() -> None:
    names = {collection_name(VIEW, *origin) for origin in (("a", 1), ("a", 2), ("b", 1))}
    assert len(names) == 3
    assert all(is_collection_of(VIEW, name) for name in names)
    assert not is_collection_of(VIEW, "things")
    assert not is_collection_of(VIEW, "other_things__01234567")
    assert not is_collection_of(VIEW, "things__of_somebody_else")


def test_sizes_count_the_bytes_of_texts_lists_and_vectors() -> None:
    one, two = (
        entity({"title": "가", "regions": ["가"]}),
        entity({"title": "가가가", "regions": ["가", "가"]}),
    )
    assert size_of(two) - size_of(one) == 9
    assert size_of(entity()) > DIM * 4
