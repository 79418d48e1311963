"""What "equal" means: fields, fingerprint, and what a vector was made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from processor.compare import HELD_BACK, State, compare
from processor.stamp import Stamp
from processor.stores.base import Record
from processor.tables.base import View
from processor.vector import Vector, hash_text
from tests.unit.samples import POLICIES, row

MODEL = "model"
VECTOR = POLICIES.view("milvus")
VIEWS = pytest.mark.parametrize("view", POLICIES.views, ids=lambda view: view.store)


def record(view: View, fp: str | None = None) -> Record:
    """The record that `row()` is to have."""
    text = POLICIES.text(view, row())
    values = np.array([0.6, 0.8], dtype=np.float32)
    vector = Vector(values, MODEL, hash_text(text)) if text is not None else None
    stamp = Stamp(1, 1, 1, fp or POLICIES.fingerprint(view, row()))
    return Record(stamp, POLICIES.body(view, row()), vector)


@VIEWS
def test_a_record_that_shows_its_row_is_ok(view: View) -> None:
    judged = compare(POLICIES, view, row(), record(view), MODEL)
    assert (judged.state, dict(judged.differences)) == (State.OK, {})


@VIEWS
def test_every_single_field_that_differs_is_found_also_under_an_unchanged_fingerprint(view: View) -> None:
    right = record(view)
    for name, value in right.body.items():
        judged = compare(POLICIES, view, row(), replace(right, body={**right.body, name: "다른 값"}), MODEL)
        assert judged.state is State.STALE
        assert dict(judged.differences) == {name: (value, "다른 값")}


@VIEWS
def test_a_wrong_fingerprint_is_found_under_equal_fields(view: View) -> None:
    judged = compare(POLICIES, view, row(), record(view, fp="0" * 16), MODEL)
    assert judged.state is State.STALE
    assert set(judged.differences) == {"fingerprint"}


@VIEWS
def test_a_record_that_is_held_back_is_told_and_judged_by_what_it_shows(view: View) -> None:
    right = record(view)
    held = replace(right, stamp=right.stamp.held_back(right.stamp.fp, "image"))
    judged = compare(POLICIES, view, row(), held, MODEL)
    assert (judged.state, judged.reason) == (State.OK, HELD_BACK)
    judged = compare(POLICIES, view, row(title="새 제목", interest_rate="9.00"), held, MODEL)
    assert (judged.state, judged.reason) == (State.STALE, HELD_BACK)
    assert judged.differences["fingerprint"][1] == right.stamp.fp


@VIEWS
def test_a_record_of_a_row_that_is_gone_or_hidden_is_an_orphan(view: View) -> None:
    for source in (None, row(status="archived"), row(is_active=False)):
        assert compare(POLICIES, view, source, record(view), MODEL).state is State.ORPHAN
        assert compare(POLICIES, view, source, None, MODEL).state is State.NOT_PROJECTED


def test_only_a_cache_may_lack_a_record() -> None:
    states = {view.store: compare(POLICIES, view, row(), None, MODEL).state for view in POLICIES.views}
    assert states == {
        "milvus": State.MISSING,
        "neo4j": State.MISSING,
        "elasticsearch": State.MISSING,
        "redis": State.OK,
    }


def test_a_vector_of_another_text_or_model_or_a_changed_one_is_found() -> None:
    right = record(VECTOR)
    assert right.vector is not None
    wrong = {
        "vector's text": replace(right.vector, text_hash=hash_text("another")),
        "vector's model": replace(right.vector, model="another"),
        "vector": None,  # what an adapter reads when values and checksum do not agree
    }
    for name, vector in wrong.items():
        judged = compare(POLICIES, VECTOR, row(), replace(right, vector=vector), MODEL)
        assert (judged.state, set(judged.differences)) == (State.STALE, {name})


def test_a_row_that_no_store_can_hold_says_why() -> None:
    view = POLICIES.view("elasticsearch")
    judged = compare(POLICIES, view, row(interest_rate="NAN"), None, MODEL)
    assert judged.state is State.MISSING
    assert "interest_rate: nan is not a finite number" in str(judged.reason)
