"""`aegis intake import`: rows come from a file, bad lines are recorded, and nothing is done twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from intake import lines
from intake.errors import StoppedEarly
from intake.importing import Outcome, RowImport
from intake.rows import table_of
from processor.settings import Settings
from sql.queries import QUERIES
from sql.seed.policies import SAMPLE
from tests.integration.conftest import ROOT, aegis
from tests.integration.own_database import own_database, rows, statements, wait_for_lock, write_lines

USER, QUERY = UUID(int=1), UUID(int=2)
PLANTED = ("planted@company.com", "홍길동비밀", "010-9999-8888", "서울시비밀로")
LETTERS = "SELECT code, field, reason FROM intake_letters"


@pytest.fixture
def engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """With a user and a question."""
    with own_database(settings) as made:
        monkeypatch.setenv("POSTGRES_DB", str(made.url.database))
        with made.begin() as connection:
            connection.exec_driver_sql(
                f"INSERT INTO users (id, email, name, department) VALUES ('{USER}', 'a@x.kr', 'A', 'E');"
                f"INSERT INTO search_queries (id, user_id, query) VALUES ('{QUERY}', '{USER}', '지원')"
            )
        yield made


def bring(engine: sa.Engine, table: str, file: Path) -> Outcome:
    return RowImport(engine, table_of(table), file, Event()).run()


def counts(outcome: Outcome) -> tuple[int, int, int]:
    return outcome.added, outcome.present, outcome.bad


def feedback(**changes: Any) -> dict[str, Any]:
    return {"query_id": str(QUERY), "user_id": str(USER), "rating": 5, **changes}


def user(number: int, **changes: Any) -> dict[str, Any]:
    return {"email": f"{number}@x.kr", "name": "김", "department": "Engineering", **changes}


def policy(number: int, **changes: Any) -> dict[str, Any]:
    made = {name: str(value) if name.endswith("date") else value for name, value in SAMPLE.items()}
    made |= {"interest_rate": 2.5, "policy_id": f"P-{number}", "source_record_id": str(number), **changes}
    return {name: value for name, value in made.items() if value is not ...}


def test_rows_come_into_their_table_as_their_lines_say(engine: sa.Engine, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "policies.jsonl", policy(1), policy(2, interest_rate=None))
    assert counts(bring(engine, "policies", file)) == (2, 0, 0)
    columns = [name for name in SAMPLE if name not in {"policy_id", "source_record_id"}]
    with engine.connect() as connection:
        query = sa.select(*(table_of("policies").c[name] for name in columns)).order_by(sa.text("policy_id"))
        found = [dict(row) for row in connection.execute(query).mappings()]
    wanted = {name: SAMPLE[name] for name in columns}
    assert found == [wanted, wanted | {"interest_rate": None}]


def test_a_policy_without_a_status_waits_for_validation(engine: sa.Engine, tmp_path: Path) -> None:
    bare = policy(1, status=..., is_active=..., quality_score=..., raw_data=...)
    assert counts(bring(engine, "policies", write_lines(tmp_path / "p.jsonl", bare))) == (1, 0, 0)
    found = rows(engine, "SELECT status, is_active, quality_score, raw_data IS NULL FROM policies")
    assert found == [("pending_validation", True, 0.0, True)]


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
                "path: must have at least one part, and none that is empty",
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


def test_good_rows_cost_few_statements(engine: sa.Engine, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "u.jsonl", *(user(n) for n in range(2_000)))
    with statements(engine) as sent:
        assert counts(bring(engine, "users", file)) == (2_000, 0, 0)
    assert len(sent) <= 4 * 6  # 4 chunks: lock, savepoint, insert, release, letters
    with statements(engine) as sent:
        assert counts(bring(engine, "users", file)) == (0, 2_000, 0)
    assert len(sent) <= 4 * 7


def test_a_bad_row_in_a_chunk_costs_some_savepoints_and_no_other_row(
    engine: sa.Engine, tmp_path: Path
) -> None:
    many = [user(n) for n in range(500)]
    many[123]["access_level"] = 4
    with statements(engine) as sent:
        assert counts(bring(engine, "users", write_lines(tmp_path / "u.jsonl", *many))) == (499, 0, 1)
    assert sum(statement.startswith("SAVEPOINT") for statement in sent) <= 20


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("users", user(1)),
        ("policies", policy(1)),
        ("policies", policy(2, raw_data=..., status=...)),
        ("documents", {"title": "t", "content": "c", "source": "s", "metadata": {"a": [1.5, None, "가"]}}),
        ("search_queries", {"user_id": str(USER), "query": "q", "timestamp": "2025-01-01T00:00:00+09:00"}),
        ("search_responses", {"query_id": str(QUERY), "sources": [{"id": 1}], "response_time_ms": 5}),
        ("user_feedback", feedback()),
    ],
)
def test_a_second_time_the_row_is_there_and_stays(
    engine: sa.Engine, tmp_path: Path, table: str, line: dict[str, Any]
) -> None:
    file = write_lines(tmp_path / "f.jsonl", line, line)
    before = rows(engine, f"SELECT count(*) FROM {table}")
    assert counts(bring(engine, table, file)) == (1, 1, 0)
    kept = rows(engine, f"SELECT xmin::text, ctid::text FROM {table} ORDER BY 2")
    assert len(kept) == before[0][0] + 1
    assert counts(bring(engine, table, file)) == (0, 2, 0)
    assert rows(engine, f"SELECT xmin::text, ctid::text FROM {table} ORDER BY 2") == kept


def test_a_policy_that_was_validated_since_is_there_too(engine: sa.Engine, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "p.jsonl", policy(1, status=..., quality_score=...))
    bring(engine, "policies", file)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE policies SET status = 'active', quality_score = 0.9")
    assert counts(bring(engine, "policies", file)) == (0, 1, 0)
    assert rows(engine, "SELECT status FROM policies") == [("active",)]


def test_a_row_with_the_same_key_that_says_something_else_is_a_duplicate(
    engine: sa.Engine, tmp_path: Path
) -> None:
    bring(engine, "policies", write_lines(tmp_path / "p.jsonl", policy(1)))
    again = write_lines(
        tmp_path / "again.jsonl", policy(1, title="another"), policy(2, source_record_id="1"), policy(3)
    )
    outcome = bring(engine, "policies", again)
    assert counts(outcome) == (1, 0, 2)
    assert [(each["code"], each["field"]) for each in outcome.problems] == [
        ("DP_2003", "policy_id"),
        ("DP_2003", "source_system, source_record_id"),
    ]
    assert rows(engine, "SELECT policy_id, title FROM policies ORDER BY 1") == [
        ("P-1", SAMPLE["title"]),
        ("P-3", SAMPLE["title"]),
    ]


def test_a_letter_counts_its_attempts_and_goes_when_its_line_becomes_a_row(
    engine: sa.Engine, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "f.jsonl", feedback(user_id=str(UUID(int=7))), feedback(rating=6))
    for _ in range(2):
        assert counts(bring(engine, "user_feedback", file)) == (0, 0, 2)
    attempts = "SELECT field, attempts, raw_record FROM intake_letters ORDER BY field"
    first, second = file.read_bytes().splitlines()
    assert rows(engine, attempts) == [("rating", 2, second), ("user_id", 2, first)]
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"INSERT INTO users (id, email, name, department) VALUES ('{UUID(int=7)}', 'n', 'N', 'N')"
        )
    assert counts(bring(engine, "user_feedback", file)) == (1, 0, 1)
    assert rows(engine, attempts) == [("rating", 3, second)]


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
    assert "users: 1 added, 0 already there, 8 bad" in result.stdout
    letters = rows(engine, "SELECT l::text, raw_record FROM intake_letters l")
    assert len(letters) == 8
    printed = (result.stdout, result.stderr, told.stdout, told.stderr)
    everything = "".join((*printed, *(text for text, _ in letters)))
    for planted in PLANTED:
        assert planted not in everything
        assert planted.encode().hex() not in everything
    assert {bytes(raw) for _, raw in letters} == {b""}
    assert "(users, line 1 of users.jsonl; 0 bytes of its " in everything


def test_the_command_says_what_became_of_the_lines_and_what_to_do(engine: sa.Engine, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "f.jsonl", feedback(), feedback(rating=6))
    answer = aegis("intake", "import", str(file), "--table", "user_feedback", "--json", check=False)
    assert answer.returncode == 3
    assert json.loads(answer.stdout) == {
        "table": "user_feedback",
        "added": 1,
        "present": 0,
        "bad": 1,
        "problems": [{"line": 2, "code": "DP_2001", "field": "rating", "reason": "must be 1 to 5"}],
    }
    assert "error: 1 lines are bad; they are in intake_letters\nnext: correct them" in answer.stderr
    wrong = aegis("intake", "import", str(file), "--table", "taxonomy_nodes", check=False)
    assert wrong.returncode == 2


def test_of_many_bad_lines_the_first_twenty_are_named_and_all_are_counted(
    engine: sa.Engine, tmp_path: Path
) -> None:
    outcome = bring(
        engine, "users", write_lines(tmp_path / "f.jsonl", *(b"{" + b" " * n for n in range(700)), b"[]")
    )
    assert (outcome.bad, len(outcome.problems)) == (701, 20)


def test_told_to_stop_it_keeps_whole_chunks_and_goes_on_from_there(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 10)
    file = write_lines(tmp_path / "u.jsonl", *(user(n) for n in range(35)))
    stop = Event()
    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        seen.append(done)
        assert total == file.stat().st_size
        if len(seen) == 2:
            stop.set()

    with pytest.raises(StoppedEarly, match="stopped: 20 rows of users were added"):
        RowImport(engine, table_of("users"), file, stop).run(progress)
    assert rows(engine, "SELECT count(*) FROM users") == [(21,)]
    assert counts(bring(engine, "users", file)) == (15, 20, 0)
    assert seen == sorted(seen)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 4), (signal.SIGKILL, -9)])
def test_a_signal_leaves_nothing_half_done_and_the_same_command_goes_on(
    engine: sa.Engine, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    file = write_lines(tmp_path / "u.jsonl", *(user(n) for n in range(1_500)))
    command = [
        str(Path(sys.executable).with_name("aegis")),
        "intake",
        "import",
        str(file),
        "--table",
        "users",
    ]
    with engine.connect() as other:
        other.execute(sa.text(QUERIES["lock_import"]), {"table": "users"})
        child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        wait_for_lock(engine)
        child.send_signal(number)
        if number == signal.SIGKILL:
            assert child.wait() == code
    assert child.wait() == code
    [(there,)] = rows(engine, "SELECT count(*) - 1 FROM users")
    assert there == (500 if number == signal.SIGTERM else 0)
    assert counts(bring(engine, "users", file)) == (1_500 - there, there, 0)


def test_memory_is_bounded_however_long_the_file_is(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 20)

    def peak(count: int) -> int:
        line = {"user_id": str(USER), "query": "x" * 20_000}
        file = write_lines(
            tmp_path / "f.jsonl", *(line | {"session_id": f"{count}-{n}"} for n in range(count))
        )
        tracemalloc.start()
        try:
            assert counts(bring(engine, "search_queries", file)) == (count, 0, 0)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(20)  # what is loaded and cached once
    assert peak(400) < peak(40) * 1.5  # 8 MB of text
