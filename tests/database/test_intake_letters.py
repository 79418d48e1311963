"""Bad lines of an import become letters: by field and rule, one for a line, and without personal values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from tests.database.importing import (
    USER,
    bring,
    counts,
    database_with_a_question,
    feedback,
    policy,
    user,
)
from tests.database.own_database import rows, write_lines
from tests.integration.conftest import aegis

UNKNOWN = (
    "line: a field cannot be imported: the columns of users are id, email, name, department, access_level, "
    "is_active, phone, address, created_at, updated_at"
)
PLANTED = ("planted@company.com", "홍길동비밀", "010-9999-8888", "서울시비밀로")
LETTERS = "SELECT code, field, reason FROM intake_letters"


@pytest.fixture
def engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    with database_with_a_question(settings) as made:
        monkeypatch.setenv("POSTGRES_DB", str(made.url.database))
        yield made


def test_each_kind_of_bad_line_is_recorded_by_its_field_and_the_rest_is_kept(
    engine: sa.Engine, tmp_path: Path
) -> None:
    nobody = str(uuid4())
    node = rows(
        engine,
        "INSERT INTO taxonomy_nodes (label, canonical_path, version, confidence) "
        "VALUES ('a', '{a}', '1.0.0', 1) RETURNING node_id::text",
    )
    assert node
    cases: dict[str, list[tuple[dict[str, Any] | bytes, str, str]]] = {
        "user_feedback": [
            (feedback(rating=6), "DP_2001", "rating: must be 1 to 5"),
            (feedback(rating=0), "DP_2001", "rating: must be 1 to 5"),
            (feedback(rating=None), "DP_2001", "rating: is required"),
            (
                feedback(query_id=nobody),
                "DP_2001",
                "query_id: unknown: no row of search_queries has it",
            ),
            (feedback(user_id=nobody), "DP_2001", "user_id: unknown: no row of users has it"),
            (feedback(comment="a\0"), "DP_2001", "comment: must not hold a NUL character"),
            (b'{"rating": 5, "comment": "\xff"}', "DP_1004", "line: not UTF-8 at byte 26"),
            (b"{", "DP_1004", "line: not JSON: EOF while parsing an object at column 1"),
        ],
        "users": [
            (user(1, access_level=4), "DP_2001", "access_level: must be 1 to 3"),
            (user(1, email="a@x.kr"), "DP_2003", "email: taken: another row has it, and differs"),
            (user(1, id=str(USER)), "DP_2003", "id: taken: another row has it, and differs"),
            (user(1, **{"a\0b": 1}), "DP_2001", UNKNOWN),
        ],
        "doc_taxonomy": [
            (
                {
                    "doc_id": nobody,
                    "node_id": nobody,
                    "path": ["a", ""],
                    "confidence": 1,
                    "hitl_required": True,
                },
                "DP_2001",
                "path: must have 1 to 50 parts, and none that is empty",
            ),
            (
                {
                    "doc_id": nobody,
                    "node_id": nobody,
                    "path": ["a"],
                    "confidence": 1.2,
                    "hitl_required": True,
                },
                "DP_2001",
                "confidence: must be 0 to 1",
            ),
            (
                {"doc_id": nobody, "node_id": nobody, "path": ["a"], "confidence": 1, "hitl_required": True},
                "DP_2001",
                "doc_id: unknown: no row of documents has it",
            ),
        ],
        "documents": [
            (
                {"title": "t", "source": "s", "content": "x" * 10_000_000},
                "DP_2001",
                "content: must be at most 7340032 bytes",
            ),
            (b'{"title": "' + b"x" * 17_000_000, "DP_1004", "line: longer than 16777216 bytes (17000011)"),
        ],
        "policies": [
            (policy(1, title=" "), "DP_2001", "title: must not be blank"),
            (policy(1, target_regions=[""]), "DP_2001", "target_regions: must be a list without empty texts"),
            (
                policy(1, funding_amount_max=1),
                "DP_2001",
                "funding_amount_min: must not be above funding_amount_max",
            ),
        ],
    }
    good: dict[str, dict[str, Any]] = {
        "user_feedback": feedback(),
        "users": user(9),
        "documents": {"title": "t", "content": "c", "source": "s"},
        "policies": policy(9),
    }
    for table, bad in cases.items():
        kept = [good[table]] if table in good else []
        file = write_lines(tmp_path / f"{table}.jsonl", *(line for line, *_ in bad), *kept)
        outcome = bring(engine, table, file)
        assert counts(outcome) == (len(kept), 0, len(bad))
        told = [(each["code"], f"{each['field'] or 'line'}: {each['reason']}") for each in outcome.problems]
        assert told == [tuple(expected) for _, *expected in bad]
        letters = rows(engine, f"{LETTERS} WHERE reason LIKE '%({table}, line %'")
        assert {(code, reason.split(f" ({table}, ")[0]) for code, _, reason in letters} == set(told)
        assert {field for _, field, _ in letters} == {each["field"] for each in outcome.problems}


def test_a_letter_counts_its_attempts_and_goes_when_its_line_becomes_a_row(
    engine: sa.Engine, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "f.jsonl", feedback(user_id=str(UUID(int=7))), feedback(rating=6))
    for _ in range(2):
        assert counts(bring(engine, "user_feedback", file)) == (0, 0, 2)
    attempts = "SELECT field, attempts, raw_record FROM intake_letters ORDER BY field"
    assert rows(engine, attempts) == [("rating", 2, b""), ("user_id", 2, b"")]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO users (id, email, name, department) VALUES ('{UUID(int=7)}', 'n', 'N', 'N')"
        )
    assert counts(bring(engine, "user_feedback", file)) == (1, 0, 1)
    assert rows(engine, attempts) == [("rating", 3, b"")]


def test_a_question_that_is_no_row_is_not_kept_where_retention_does_not_reach(
    engine: sa.Engine, tmp_path: Path
) -> None:
    asked = {"user_id": str(uuid4()), "query": PLANTED[1]}
    answered = {"query_id": str(uuid4()), "answer": PLANTED[1], "sources": [], "response_time_ms": 1}
    for table, line in (
        ("search_queries", asked),
        ("search_responses", answered),
        ("user_feedback", feedback(rating=6, comment=PLANTED[1])),
    ):
        assert counts(bring(engine, table, write_lines(tmp_path / "f.jsonl", line))) == (0, 0, 1)
    letters = rows(engine, "SELECT l::text, raw_record FROM intake_letters l")
    assert [raw for _, raw in letters] == [b""] * 3
    assert not any(PLANTED[1] in text for text, _ in letters)


def test_of_a_bad_policy_the_whole_line_is_kept(engine: sa.Engine, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "p.jsonl", policy(1, title=" "))
    assert counts(bring(engine, "policies", file)) == (0, 0, 1)
    assert rows(engine, "SELECT raw_record FROM intake_letters") == [(file.read_bytes(),)]


def test_personal_values_are_in_no_letter_and_in_nothing_that_is_printed(
    engine: sa.Engine, tmp_path: Path
) -> None:
    email, name, phone, address = PLANTED
    person = {"email": email, "name": name, "department": "E", "phone": phone, "address": address}
    cut = json.dumps(person, ensure_ascii=False).encode()[:-1]
    file = write_lines(
        tmp_path / "users.jsonl",
        person | {"access_level": 4},
        person | {"name": name * 30},
        person | {"note": name},
        person | {email: {"name": name}},
        person | {name + "\0": 1},
        person | {"phone": phone + "\0"},
        cut,
        cut + b"\xff}",
        person | {"id": email},
        person,
        person | {"department": "other"},
    )
    result = aegis("intake", "import", str(file), "--table", "users", check=False)
    told = aegis("intake", "import", str(file), "--table", "users", "--json", check=False)
    assert result.returncode == told.returncode == 3
    assert "users: 1 added, 0 already there, 10 bad" in result.stdout
    letters = rows(engine, "SELECT l::text, raw_record FROM intake_letters l")
    assert len(letters) == 10
    printed = (result.stdout, result.stderr, told.stdout, told.stderr)
    everything = "".join((*printed, *(text for text, _ in letters)))
    for planted in PLANTED:
        assert planted not in everything
        assert planted.encode().hex() not in everything
    assert {bytes(raw) for _, raw in letters} == {b""}
    assert "(users, line 1 of users.jsonl; 0 bytes of its " in everything


def test_of_many_bad_lines_the_first_twenty_are_named_and_all_are_counted(
    engine: sa.Engine, tmp_path: Path
) -> None:
    outcome = bring(
        engine, "users", write_lines(tmp_path / "f.jsonl", *(b"{" + b" " * n for n in range(700)), b"[]")
    )
    assert (outcome.bad, len(outcome.problems)) == (701, 20)
