"""A sealed value opens in its place, under its key, unaltered - and nowhere else."""

from __future__ import annotations

import re
import string
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st

from sql.models import Policy, User
from sql.sealed import (
    KEY_BYTES,
    NotAnObject,
    NotAuthentic,
    NotSealed,
    Place,
    SealedError,
    Sealer,
    UnknownKey,
    key_id,
    open_row,
    place_of,
    seal_row,
    sealed_columns,
)

USERS: sa.Table = User.__table__  # type: ignore[assignment]
OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SEALER = Sealer({"old": OLD, "new": NEW}, "old")
PLACE = Place("users", "personal_info", "00000000-0000-4000-8000-000000000001")
SECRET = {"name": "홍길동-비밀", "born": "1979-03-14"}

texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)
names = st.text(string.ascii_letters + string.digits, min_size=1, max_size=32)


@given(objects, names, st.binary(min_size=32, max_size=32), texts, texts, texts)
@example({}, "a", OLD, "", "", "")
def test_what_was_sealed_opens_as_it_was(
    value: dict[str, Any], name: str, key: bytes, table: str, column: str, row: str
) -> None:
    sealer, place = Sealer({name: key}, name), Place(table, column, row)
    sealed = sealer.seal(place, value)
    assert sealer.open(place, sealed) == value
    assert key_id(place, sealed) == name
    assert sealed.startswith(sealer.header)


@given(st.data())
def test_no_altered_bit_goes_unnoticed(data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(PLACE, SECRET))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealedError):
        SEALER.open(PLACE, bytes(sealed))


@given(st.data())
def test_no_cut_or_lengthened_value_opens(data: st.DataObject) -> None:
    sealed = SEALER.seal(PLACE, SECRET)
    length = data.draw(st.integers(0, len(sealed) - 1))
    for wrong in (sealed[:length], sealed + sealed[: length + 1]):
        with pytest.raises(SealedError):
            SEALER.open(PLACE, wrong)


@given(st.tuples(texts, texts, texts), st.tuples(texts, texts, texts))
@example(("users", "personal_info", "1"), ("users", "contact_info", "1"))
@example(("users", "personal_info", "1"), ("users", "personal_info", "2"))
@example(("ab", "c", "d"), ("a", "bc", "d"))
@example(("a", "bc", "d"), ("a", "b", "cd"))
def test_a_value_moved_to_another_place_does_not_open(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    sealed = SEALER.seal(Place(*one), SECRET)
    if one == other:
        assert SEALER.open(Place(*other), sealed) == SECRET
        return
    with pytest.raises(NotAuthentic, match="altered, moved from another place"):
        SEALER.open(Place(*other), sealed)


def test_the_id_of_the_key_is_authenticated_too() -> None:
    twins = Sealer({"old": OLD, "new": OLD}, "old")
    sealed = twins.seal(PLACE, SECRET).replace(b"old", b"new", 1)
    with pytest.raises(NotAuthentic):
        twins.open(PLACE, sealed)


def test_another_key_under_the_same_id_does_not_open() -> None:
    with pytest.raises(NotAuthentic, match="key old is not the one it was sealed under") as caught:
        Sealer({"old": NEW}, "old").open(PLACE, SEALER.seal(PLACE, SECRET))
    assert caught.value.hint == "aegis keys status"


def test_a_key_that_is_not_configured_is_named() -> None:
    with pytest.raises(UnknownKey, match=r"users .*1: personal_info: sealed under key old") as caught:
        Sealer({"new": NEW}, "new").open(PLACE, SEALER.seal(PLACE, SECRET))
    assert "FIELD_KEYS" in caught.value.hint


@pytest.mark.parametrize(
    "plain", [b"", b"\x01", b'{"name": "x"}', b"\x02" + b"x" * 99, b"\x01\xff" + b"x" * 99]
)
def test_what_is_not_sealed_is_told_from_what_was_altered(plain: bytes) -> None:
    with pytest.raises(NotSealed):
        SEALER.open(PLACE, plain)


def test_sealing_twice_gives_other_bytes() -> None:
    assert len({SEALER.seal(PLACE, SECRET) for _ in range(100)}) == 100


def test_no_plaintext_is_in_what_is_stored_nor_a_key_in_what_is_shown() -> None:
    sealed = SEALER.seal(PLACE, SECRET)
    assert "홍길동".encode() not in sealed
    assert b"1979" not in sealed
    assert OLD.hex() not in repr(SEALER) + repr(vars(SEALER))
    assert repr(OLD) not in repr(SEALER) + repr(vars(SEALER))


@pytest.mark.parametrize(
    "value",
    [
        {"홍길동": float("nan")},
        {"a": {"홍길동"}},
        {"a": "홍길동\ud800"},
        {"a": b"secret"},
        ["홍길동"],
        "홍길동",
    ],
)
def test_what_is_no_json_object_is_refused_without_showing_it(value: Any) -> None:
    with pytest.raises(NotAnObject) as caught:
        SEALER.seal(PLACE, value)
    assert "홍길동" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_resealing_keeps_the_contents_under_the_current_key() -> None:
    later = Sealer({"old": OLD, "new": NEW}, "new")
    sealed = SEALER.seal(PLACE, SECRET)
    again = later.reseal(PLACE, sealed)
    assert key_id(PLACE, again) == "new"
    assert later.open(PLACE, again) == SEALER.open(PLACE, again) == SECRET
    with pytest.raises(NotAuthentic):
        later.reseal(Place("users", "personal_info", "2"), sealed)


@pytest.mark.parametrize(
    ("keys", "current", "says"),
    [
        ({"a": b"x" * 31}, "a", f"keys of {KEY_BYTES} bytes"),
        ({"a:b": OLD}, "a:b", "under a name"),
        ({"": OLD}, "", "under a name"),
        ({"x" * 33: OLD}, "x" * 33, "under a name"),
        ({"a": OLD}, "b", "not among the keys"),
    ],
)
def test_a_sealer_takes_only_whole_keys_and_a_current_one(
    keys: dict[str, bytes], current: str, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Sealer(keys, current)


def test_no_header_begins_like_another_keys() -> None:
    one, other = Sealer({"k": OLD}, "k"), Sealer({"k1": OLD}, "k1")
    assert not other.header.startswith(one.header)


def test_a_row_is_sealed_for_its_key_however_that_is_written() -> None:
    key = "ABCDEF00-0000-4000-8000-000000000001"
    row = {"id": key, "email": "kim@example.org", "personal_info": SECRET, "contact_info": None}
    sealed = seal_row(USERS, row, SEALER)
    assert {name: sealed[name] for name in ("id", "email", "contact_info")} == {
        "id": key,
        "email": "kim@example.org",
        "contact_info": None,
    }
    assert isinstance(sealed["personal_info"], bytes)
    assert open_row(USERS, {**sealed, "id": UUID(key)}, SEALER) == {**row, "id": UUID(key)}
    with pytest.raises(NotAuthentic, match=re.escape(f"users {PLACE.key}: personal_info")):
        open_row(USERS, {**sealed, "id": PLACE.key}, SEALER)


def test_a_row_without_its_key_cannot_be_sealed() -> None:
    with pytest.raises(KeyError):
        seal_row(USERS, {"personal_info": SECRET}, SEALER)


def test_a_table_without_encrypted_columns_is_left_as_it_is() -> None:
    policies: sa.Table = Policy.__table__  # type: ignore[assignment]
    assert seal_row(policies, {"policy_id": "p"}, SEALER) == {"policy_id": "p"}


def test_the_model_says_which_columns_are_encrypted() -> None:
    assert [column.name for column in sealed_columns(USERS)] == ["personal_info", "contact_info"]
    assert all(column.info["private"] for column in sealed_columns(USERS))
    assert place_of(USERS, "contact_info", {"id": UUID(PLACE.key)}) == Place(
        "users", "contact_info", PLACE.key
    )
