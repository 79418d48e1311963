"""Versions order, stamps survive text, fingerprints tell different rows apart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.fingerprint import canonical, fingerprint
from processor.rows import TIMESTAMP_INFINITY, Kind
from processor.stamp import LSN_LIMIT, Stamp, make_version, split_version

epochs = st.integers(0, 511)
lsns = st.integers(0, LSN_LIMIT - 1)


@given(epochs, lsns)
def test_a_version_is_a_signed_64_bit_number_and_can_be_taken_apart(epoch: int, lsn: int) -> None:
    version = make_version(epoch, lsn)
    assert 0 <= version < 2**63
    assert split_version(version) == (epoch, lsn)


@given(st.tuples(epochs, lsns), st.tuples(epochs, lsns))
def test_versions_order_by_epoch_then_by_position(a: tuple[int, int], b: tuple[int, int]) -> None:
    assert (make_version(*a) < make_version(*b)) == (a < b)


@pytest.mark.parametrize("lsn", [-1, LSN_LIMIT])
def test_a_position_that_does_not_fit_is_refused(lsn: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        make_version(0, lsn)


@given(epochs, lsns, lsns, st.none() | st.integers(0, 2**32 - 1))
def test_a_stamp_survives_text(epoch: int, lsn: int, seen: int, xid: int | None) -> None:
    stamp = Stamp(make_version(epoch, lsn), seen, xid, "00ff00ff00ff00ff")
    assert Stamp.from_text(stamp.to_text()) == stamp


texts = st.none() | st.text() | st.sampled_from(["-", "s1:", "a2:{}", "null", '"', "\\"])
KINDS = {
    "a": Kind.TEXT,
    "b": Kind.TEXT,
    "l": Kind.TEXT_LIST,
    "n": Kind.INTEGER,
    "f": Kind.FLOAT,
    "t": Kind.BOOLEAN,
    "d": Kind.NUMERIC,
    "m": Kind.TIMESTAMP,
}
integers = st.none() | st.integers(-2, 2) | st.integers()
rows = st.fixed_dictionaries(
    {
        "a": texts,
        "b": texts,
        "l": st.none() | st.lists(texts, max_size=4),
        "n": integers,
        "f": st.none() | st.floats(allow_nan=False),
        "t": st.none() | st.booleans(),
        "d": st.none() | st.sampled_from(["1.5", "1.50", "NaN", "-1"]),
        "m": integers | st.sampled_from([TIMESTAMP_INFINITY, -TIMESTAMP_INFINITY]),
    }
)


def canonical_text(row: dict[str, object]) -> str:
    return "".join(canonical(kind, row[name]) for name, kind in KINDS.items())


@given(rows, rows, st.sets(st.sampled_from(sorted(KINDS))))
def test_different_rows_have_different_canonical_texts(
    one: dict[str, object], other: dict[str, object], shared: set[str]
) -> None:
    other = {**other, **{name: one[name] for name in shared}}
    # repr: -0.0 and 0.0 are equal, and not the same
    assert (canonical_text(one) == canonical_text(other)) == (
        repr(sorted(one.items())) == repr(sorted(other.items()))
    )


@given(rows)
def test_a_canonical_text_can_be_taken_apart_in_one_way_only(row: dict[str, object]) -> None:
    rest, parts = canonical_text(row).encode(), []
    while rest:
        head, _, tail = rest.partition(b":")
        size = 1 if rest[:1] == b"-" else len(head) + 1 + int(head[1:])
        parts.append(rest[:size].decode())
        rest = tail[size - len(head) - 1 :] if size > 1 else rest[1:]
    assert parts == [canonical(kind, row[name]) for name, kind in KINDS.items()]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Kind.TEXT, None, "-"),
        (Kind.TEXT, "한", "s3:한"),
        (Kind.NUMERIC, "1.50", "n4:1.50"),
        (Kind.DATE, -1, "n2:-1"),
        (Kind.BOOLEAN, True, "b4:true"),
        (Kind.FLOAT, -0.0, "f16:8000000000000000"),
        (Kind.FLOAT, math.nan, "f16:7ff8000000000000"),
        (Kind.FLOAT, -math.nan, "f16:7ff8000000000000"),
        (Kind.FLOAT, 1, "f16:3ff0000000000000"),
        (Kind.TEXT_LIST, [], "a2:{}"),
        (Kind.TEXT_LIST, ["가", None, '"\x1f'], 'a40:{"" : "가", "" : null, "" : "\\"\\u001f"}'),
    ],
)
def test_the_canonical_text_of_a_value(kind: Kind, value: object, text: str) -> None:
    assert canonical(kind, value) == text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": None}, {"a": ""}),
        ({"a": "-"}, {"a": None}),
        ({"a": "ab", "b": "c"}, {"a": "a", "b": "bc"}),
        ({"l": []}, {"l": None}),
        ({"l": [""]}, {"l": []}),
        ({"l": ["a", "b"]}, {"l": ["ab"]}),
        ({"l": [None]}, {"l": ["-"]}),
        ({"l": [None]}, {"l": ["null"]}),
        ({"f": 0.0}, {"f": -0.0}),
        ({"d": "1.5"}, {"d": "1.50"}),
        ({"a": "1"}, {"n": 1}),
    ],
)
def test_rows_that_look_alike_have_different_fingerprints(
    one: dict[str, object], other: dict[str, object]
) -> None:
    columns = tuple(KINDS)
    assert fingerprint(KINDS, columns, one) != fingerprint(KINDS, columns, other)


def test_only_the_columns_of_the_view_count() -> None:
    assert fingerprint(KINDS, ("a",), {"a": "x", "b": "1"}) == fingerprint(
        KINDS, ("a",), {"a": "x", "b": "2"}
    )
    assert len(fingerprint(KINDS, ("a",), {"a": "x"})) == 16
