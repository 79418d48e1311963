"""A table whose key has several columns, on its whole way: its own connector, all four stores."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from processor.keys import key_text
from processor.settings import Settings
from processor.tables.base import Edge, FieldType, Projection, Text, View
from tests.integration.own_tables import OwnTables, own_tables

NAME = "composite_test"
NOTES = sa.Table(
    NAME,
    sa.MetaData(),
    sa.Column("policy_id", sa.String(64), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("tags", ARRAY(sa.Text), nullable=False),
)
FIELDS = {
    "policy_id": FieldType.KEYWORD,
    "number": FieldType.LONG,
    "day": FieldType.DATE,
    "note": FieldType.KOREAN,
}
TAGGED = {**FIELDS, "tags": FieldType.KEYWORDS}
NOTE = Text(("note",), lambda row: str(row["note"]))
PROJECTION = Projection(
    model=NOTES,
    only_when={},
    views=(
        View("milvus", NAME, TAGGED, text=NOTE),
        View("neo4j", "CompositeTest", FIELDS, edges=(Edge("tags", "TAGGED", "CompositeTag", "name"),)),
        View("elasticsearch", "composite-test", TAGGED),
        View("redis", NAME, TAGGED, invalidates=("composite_tags:{tags}",)),
    ),
)
DAY = datetime.date(2025, 1, 1)


def note(key: str, number: int, **changes: Any) -> dict[str, Any]:
    return {
        "policy_id": key,
        "number": number,
        "day": DAY,
        "note": f"메모 {number}",
        "tags": ["가", "나"],
        **changes,
    }


@pytest.fixture
def notes(pipeline: sa.Engine, settings: Settings) -> Iterator[OwnTables]:
    with own_tables(settings, pipeline, [PROJECTION]) as own:
        yield own


def test_a_composite_key_names_its_record_in_every_store(notes: OwnTables) -> None:
    awkward = "it's 100%, a=b"
    notes.execute(
        sa.insert(NOTES).values([note(awkward, number) for number in range(5)]),
        sa.insert(NOTES).values(note(f"{awkward}2", 1, tags=[])),
    )
    assert_equal(notes, 6)
    row = sa.and_(NOTES.c.policy_id == awkward, NOTES.c.number == 1)
    notes.execute(
        sa.update(NOTES).where(row).values(note="바뀐 메모", tags=["다"]),
        sa.update(NOTES).where(NOTES.c.number == 2).values(day=DAY.replace(year=2026)),
        sa.delete(NOTES).where(NOTES.c.number == 3),
    )
    assert_equal(notes, 5)
    notes.execute(sa.delete(NOTES))
    assert_equal(notes, 0)


def assert_equal(notes: OwnTables, count: int) -> None:
    notes.process()
    rows = notes.rows(PROJECTION)
    assert len(rows) == count
    assert all(key == key_text(PROJECTION.key_columns, row) for key, row in rows.items())
    notes.assert_equal()
