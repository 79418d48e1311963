"""Versions order, stamps survive text, fingerprints tell different rows apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.fingerprint import canonical, fingerprint
from processor.rows import Kind
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


texts = st.none() | st.text()
KINDS = {"a": Kind.TEXT, "b": Kind.TEXT, "l": Kind.TEXT_LIST, "n": Kind.INTEGER}
rows = st.fixed_dictionaries(
    {"a": texts, "b": texts, "l": st.none() | st.lists(texts), "n": st.none() | st.integers()}
)


@given(rows, rows)
def test_different_rows_have_different_canonical_texts(a: dict[str, object], b: dict[str, object]) -> None:
    def text(row: dict[str, object]) -> str:
        return "".join(canonical(kind, row[name]) for name, kind in KINDS.items())

    assert (text(a) == text(b)) == (a == b)


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
