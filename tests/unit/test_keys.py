"""Keys: from Connect's JSON to text and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import DecodeError
from processor.keys import key_text, parse_kafka_key, parse_key_text


@given(st.text())
def test_a_key_of_one_column_is_its_plain_value(value: str) -> None:
    assert key_text(("id",), {"id": value}) == value
    assert parse_key_text(("id",), value) == {"id": value}


@given(st.text(), st.text())
def test_a_key_of_several_columns_survives_text(a: str, b: str) -> None:
    text = key_text(("a", "b"), {"a": a, "b": b})
    assert parse_key_text(("a", "b"), text) == {"a": a, "b": b}


def test_a_composite_key_reads_as_people_expect() -> None:
    assert key_text(("doc_id", "node_id"), {"node_id": 7, "doc_id": "d1"}) == "doc_id=d1,node_id=7"


def test_a_composite_key_of_other_columns_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a=\.\.\.,b=\.\.\."):
        parse_key_text(("a", "b"), "b=1,a=2")


def test_a_kafka_key_is_the_json_object_of_the_key_columns() -> None:
    assert parse_kafka_key(("policy_id",), '{"policy_id":"정책-1"}'.encode()) == {"policy_id": "정책-1"}


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[]", b'"x"', b"{}", json.dumps({"a": 1, "b": 2}).encode()])
def test_any_other_kafka_key_is_poison(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_kafka_key(("a",), raw)
