"""Merging a table with a store: every key once, and nobody's disorder becomes a verdict."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.stamp import Stamp
from reconciler.errors import OutOfOrder, TooDifferent
from reconciler.merge import Merged, merge

# PostgreSQL holds no NUL, and no half of a surrogate pair
KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
PRINTS = st.sampled_from(["f1", "f2"])
BEYOND = 1_000
RECORDS = st.builds(Stamp, st.just(1), st.sampled_from([1, BEYOND]), st.none(), PRINTS)


def beyond(stamp: Stamp) -> bool:
    return stamp.seen >= BEYOND


def merged(
    rows: dict[str, str], records: dict[str, Stamp], optional: bool = False, limit: int = 10**6
) -> Merged:
    """As the servers give them: in the order of bytes."""
    return merge(
        sorted(rows.items(), key=lambda item: item[0].encode()),
        sorted(records.items(), key=lambda item: item[0].encode()),
        beyond,
        optional,
        limit,
    )


@given(st.dictionaries(KEYS, PRINTS), st.dictionaries(KEYS, RECORDS), st.booleans())
def test_exactly_what_is_not_equal_on_both_sides_is_suspicious(
    rows: dict[str, str], records: dict[str, Stamp], optional: bool
) -> None:
    found = merged(rows, records, optional)
    equal = {key for key in rows.keys() & records.keys() if records[key].fp == rows[key]}
    right = {key for key in equal if not beyond(records[key])}
    absent = rows.keys() - records.keys() if optional else set()
    assert set(found.suspects) == (rows.keys() | records.keys()) - right - absent
    assert len(found.suspects) == len(set(found.suspects))
    assert (found.rows, found.records) == (len(rows), len(records))
    assert (found.equal, found.absent) == (len(right), len(absent))


def test_keys_beyond_sixteen_bits_come_after_those_below_as_in_bytes() -> None:
    rows = {"\uffff": "f1", "\U00010000": "f1", "가": "f1", "z": "f1"}
    records = {key: Stamp(1, 1, None, "f1") for key in rows}
    assert merged(rows, records) == Merged(rows=4, records=4, equal=4)


@pytest.mark.parametrize("keys", [["b", "a"], ["a", "a"], ["\U00010000", "\uffff"]])
def test_a_side_that_is_out_of_order_is_an_error_and_never_a_verdict(keys: list[str]) -> None:
    stamp = Stamp(1, 1, None, "f1")
    with pytest.raises(OutOfOrder, match="the table gave key"):
        merge([(key, "f1") for key in keys], [], beyond, False, 10)
    with pytest.raises(OutOfOrder, match="the store gave key"):
        merge([], [(key, stamp) for key in keys], beyond, False, 10)


def test_a_side_that_fails_in_the_middle_fails_the_whole() -> None:
    def fails() -> object:
        yield "a", Stamp(1, 1, None, "f1")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        merge([("a", "f1"), ("b", "f1")], fails(), beyond, False, 10)  # type: ignore[arg-type]


def test_more_differences_than_the_limit_end_it() -> None:
    rows = {f"k{n}": "f1" for n in range(11)}
    assert len(merged(rows, {}, limit=11).suspects) == 11
    with pytest.raises(TooDifferent, match="more than 10 records differ"):
        merged(rows, {}, limit=10)
