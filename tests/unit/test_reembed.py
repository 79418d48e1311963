"""What a pass of reembed looks at, and what it takes over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from processor.embed import Embedder
from processor.reembed import Copied, Rebuild, merge
from processor.rows import Row
from processor.stamp import Stamp
from processor.stores.base import Put, Record
from processor.stores.memory import MemoryStore
from processor.vector import Vector, hash_text
from tests.unit.samples import POLICIES, row
from tests.unit.test_vectors import Letters

VIEW = POLICIES.view("milvus")
stamps = st.builds(Stamp, st.integers(0, 3), st.just(0), st.none(), st.just("f"))
scans = st.dictionaries(st.text(max_size=3), stamps, max_size=8)


@given(scans, scans)
def test_merging_names_every_key_once_in_byte_order_and_what_differs(
    old: dict[str, Stamp], new: dict[str, Stamp]
) -> None:
    def scan(records: dict[str, Stamp]) -> list[tuple[str, Stamp]]:
        return sorted(records.items(), key=lambda item: item[0].encode())

    merged = list(merge(iter(scan(old)), iter(scan(new))))
    assert [key for key, _ in merged] == sorted(old.keys() | new.keys(), key=str.encode)
    assert {key for key, differs in merged if differs} == {
        key for key in old.keys() | new.keys() if old.get(key) != new.get(key)
    }


class Local(Rebuild):
    """Reads its rows from `ROWS` instead of PostgreSQL."""

    def _rows(self, records: Mapping[str, Record]) -> dict[str, Row]:
        return {key: ROWS[key] for key in records if key in ROWS}


ROWS: dict[str, Row] = {}


@pytest.fixture
def rebuild() -> Local:
    ROWS.clear()
    old, new = MemoryStore("milvus"), MemoryStore("milvus")
    for store in (old, new):
        store.ensure(VIEW)
    return Local(sa.create_engine("sqlite://"), POLICIES, VIEW, old, new, Embedder(Letters("new")))


def remember(rebuild: Rebuild, key: str, version: int = 1, seen_row: Row | None = None) -> None:
    """The old collection's record of a row."""
    shown = seen_row or ROWS[key]
    text = POLICIES.text(VIEW, shown) or ""
    vector = Vector(np.array([1, 0], dtype=np.float32), "old", hash_text(text))
    stamp = Stamp(version, version, 7, POLICIES.fingerprint(VIEW, shown))
    expected = rebuild.old.stamps(VIEW, [key]).get(key)
    rebuild.old.apply(VIEW, [Put(key, expected, stamp, POLICIES.body(VIEW, shown), vector)])


def test_a_record_is_taken_over_with_its_stamp_and_the_new_models_vector(rebuild: Local) -> None:
    ROWS["a"] = row("a")
    remember(rebuild, "a", version=5)
    assert rebuild.copy() == Copied(written=1)
    old, new = (store.read(VIEW, ["a"])["a"] for store in (rebuild.old, rebuild.new))
    assert (new.stamp, new.body) == (old.stamp, old.body)
    assert new.vector is not None
    assert new.vector.stands_for(POLICIES.text(VIEW, ROWS["a"]) or "", "new")
    assert rebuild.copy() == Copied()  # what is done is not done again


def test_a_change_on_its_way_beside_the_text_keeps_the_records_own_fields(rebuild: Local) -> None:
    ROWS["a"] = row("a", target_regions=["50"])
    remember(rebuild, "a", seen_row=row("a", target_regions=["11"]))
    assert rebuild.copy() == Copied(written=1)
    assert rebuild.new.read(VIEW, ["a"])["a"].body["target_regions"] == ["11"]


def test_a_record_whose_text_is_changing_is_left_and_one_without_a_row_is_not_copied(rebuild: Local) -> None:
    ROWS["a"] = row("a", content="다른 내용")
    remember(rebuild, "a", seen_row=row("a"))
    remember(rebuild, "gone", seen_row=row("gone"))
    assert rebuild.copy() == Copied(left=1)
    assert rebuild.new.stamps(VIEW, ["a", "gone"]) == {}


def test_a_vector_that_somebody_changed_is_made_anew_and_a_removed_record_follows(rebuild: Local) -> None:
    for key in ("a", "b"):
        ROWS[key] = row(key)
        remember(rebuild, key)
    held = rebuild.old.stamps(VIEW, ["a"])["a"]
    broken = replace(rebuild.old.read(VIEW, ["a"])["a"], vector=None)
    rebuild.old.apply(VIEW, [Put("a", held, broken.stamp, broken.body, None)])
    assert rebuild.copy() == Copied(written=2)
    del ROWS["b"]
    remember(rebuild, "b", version=9, seen_row=row("b"))
    assert rebuild.copy() == Copied(removed=1)
    assert set(rebuild.new.stamps(VIEW, ["a", "b"])) == {"a"}
