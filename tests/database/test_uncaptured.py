"""Tables that are not captured: what goes with what. What they refuse by themselves: test_constraints.py."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg.errors import IntegrityError
from sqlalchemy.orm import Session

from sql.capture import captured_tables
from sql.models import Base, BatchExecution, OcrExecution, OcrTextBox
from tests.database.test_constraints import connection, engine, insert, insert_parents, refuses
from tests.database.uncaptured import (
    BATCH,
    CHAIN,
    IMAGE,
    UNKNOWN,
    USER,
    VALID,
)

__all__ = ["connection", "engine"]


def counts(connection: sa.Connection, *tables: str) -> list[int]:
    selects = [sa.select(sa.func.count()).select_from(Base.metadata.tables[table]) for table in tables]
    return [int(connection.scalar(select) or 0) for select in selects]


def test_these_are_all_tables_that_are_not_captured() -> None:
    captured = {table.name for table in captured_tables()}
    here = {table.name for table in Base.metadata.tables.values() if table.schema is None}
    assert set(VALID) == here - captured


@pytest.mark.parametrize(("table", "changes", "constraint"), UNKNOWN)
def test_a_reference_to_what_is_not_there_is_refused(
    connection: sa.Connection, table: str, changes: dict[str, Any], constraint: str
) -> None:
    insert_parents(connection, table)
    refuses(connection, constraint, table, **changes)


def insert_all(connection: sa.Connection) -> None:
    insert(connection, "users", id=USER)
    for table in VALID:
        insert(connection, table)


def test_with_a_user_goes_what_was_asked_and_answered_and_thought_of_it(connection: sa.Connection) -> None:
    insert_all(connection)
    history = ("search_queries", "search_responses", "user_feedback")
    assert counts(connection, *history) == [1, 1, 1]
    connection.execute(sa.text("DELETE FROM users"))
    assert counts(connection, *history) == [0, 0, 0]


def test_with_a_question_go_its_answer_and_feedback_and_the_user_stays(connection: sa.Connection) -> None:
    insert_all(connection)
    connection.execute(sa.text("DELETE FROM search_queries"))
    assert counts(connection, "users", "search_responses", "user_feedback") == [1, 0, 0]


@pytest.mark.parametrize(
    ("table", "constraint"),
    [
        ("batch_executions", "fk_chain_executions_batch_execution_id"),
        ("chain_executions", "fk_task_logs_chain_execution_id"),
    ],
)
def test_what_others_refer_to_without_cascade_stays(
    connection: sa.Connection, table: str, constraint: str
) -> None:
    insert_all(connection)
    with pytest.raises(sa.exc.IntegrityError) as caught:
        connection.execute(sa.text(f"DELETE FROM {table}"))
    assert isinstance(caught.value.orig, IntegrityError)
    assert caught.value.orig.diag.constraint_name == constraint


def test_with_an_image_go_its_text_boxes(connection: sa.Connection) -> None:
    insert_all(connection)
    connection.execute(sa.text("DELETE FROM ocr_executions"))
    assert counts(connection, "ocr_text_boxes") == [0]


def test_a_text_box_taken_out_of_its_image_is_removed(connection: sa.Connection) -> None:
    insert_parents(connection, "ocr_executions")
    with Session(connection) as session:
        image = OcrExecution(id=IMAGE, chain_execution_id=CHAIN, image_path="1.png", status="success")
        image.text_boxes = [OcrTextBox(text=text, confidence=1, bbox={"x": 1}) for text in ("a", "b")]
        session.add(image)
        session.flush()
        image.text_boxes.pop(0)
        session.flush()
    assert connection.execute(sa.select(OcrTextBox.text, OcrTextBox.ocr_execution_id)).all() == [("b", IMAGE)]


@pytest.mark.parametrize(
    ("total", "completed", "failed", "percentage"), [(8, 3, 1, 50.0), (3, 3, 0, 100.0), (0, 0, 0, 0.0)]
)
def test_a_batch_says_how_far_it_is(
    connection: sa.Connection, total: int, completed: int, failed: int, percentage: float
) -> None:
    counters = {"total_images": total, "completed_images": completed, "failed_images": failed}
    insert(connection, "batch_executions", **counters)
    with Session(connection) as session:
        assert session.get_one(BatchExecution, BATCH).progress_percentage() == percentage


def test_metadata_is_the_column_and_metadata_with_underscore_the_attribute(
    connection: sa.Connection,
) -> None:
    for name in ("pipeline_metadata", "audit_logs"):
        insert(connection, name, metadata={"가": 1})
        model = next(mapper.class_ for mapper in Base.registry.mappers if mapper.local_table.name == name)  # type: ignore[attr-defined]
        with Session(connection) as session:
            assert session.scalars(sa.select(model)).one().metadata_ == {"가": 1}


def test_a_letter_that_is_tried_again_says_when(connection: sa.Connection) -> None:
    long_ago = datetime(2001, 2, 3, tzinfo=UTC)
    insert(connection, "intake_letters", created_at=long_ago, updated_at=long_ago)
    row = connection.execute(
        sa.text("UPDATE intake_letters SET attempts = attempts + 1 RETURNING now(), *")
    ).one()
    assert (row.attempts, row.created_at, row.updated_at) == (2, long_ago, row.now)
    assert bytes(row.raw_record) == b"\xff\x00"
