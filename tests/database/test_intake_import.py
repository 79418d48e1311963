"""`aegis intake import`: rows come from a file, in few statements, and nothing is done twice."""

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

import pytest
import sqlalchemy as sa
from psycopg.errors import LockNotAvailable

from intake import importing, lines
from intake.errors import Busy, StoppedEarly
from intake.importing import RowImport
from intake.rows import table_of
from processor.settings import Settings
from sql.queries import QUERIES
from sql.seed.policies import SAMPLE
from tests.database.importing import (
    QUERY,
    USER,
    bring,
    counts,
    database_with_a_question,
    feedback,
    policy,
    user,
)
from tests.database.own_database import rows, statements, wait_for_lock, write_lines
from tests.integration.conftest import ROOT, aegis


@pytest.fixture
def engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    with database_with_a_question(settings) as made:
        monkeypatch.setenv("POSTGRES_DB", str(made.url.database))
        yield made


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


@pytest.mark.parametrize("there", ["infinity", "-infinity", "10000-01-01", "0044-03-15 BC"])
def test_a_date_that_python_has_not_differs_from_that_of_a_line(
    engine: sa.Engine, tmp_path: Path, there: str
) -> None:
    asked = {"user_id": str(USER), "query": "q", "timestamp": "2025-01-01T00:00:00+09:00"}
    question = asked | {"id": str(QUERY)}
    file = write_lines(tmp_path / "p.jsonl", policy(1))
    bring(engine, "policies", file)
    with engine.begin() as connection:
        date = "application_start_date" if there.endswith("BC") or there[0] == "-" else "application_end_date"
        connection.exec_driver_sql(f"UPDATE policies SET {date} = '{there}'")
        connection.exec_driver_sql(f"UPDATE search_queries SET timestamp = '{there}', query = 'q'")
    assert counts(bring(engine, "policies", file)) == (0, 0, 1)
    assert counts(bring(engine, "policies", write_lines(file, policy(1, **{date: ...})))) == (0, 1, 0)
    both = write_lines(tmp_path / "q.jsonl", question, asked)
    assert counts(bring(engine, "search_queries", both)) == (1, 0, 1)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "America/New_York"])
@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"])
def test_the_first_and_the_last_time_are_there_in_every_zone(
    engine: sa.Engine, tmp_path: Path, time: str, zone: str
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {engine.url.database} SET timezone = '{zone}'")
    engine.dispose()
    line = {"user_id": str(USER), "query": "q", "timestamp": time}
    file = write_lines(tmp_path / "q.jsonl", line)
    assert counts(bring(engine, "search_queries", file)) == (1, 0, 0)
    assert counts(bring(engine, "search_queries", file)) == (0, 1, 0)


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


ADD_AND_HOLD = "INSERT INTO users (email, name, department) VALUES ('1@x.kr', 'B', 'B')"


def test_a_row_that_stays_locked_ends_it_with_what_to_do(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "CHUNK_LINES", 2)
    monkeypatch.setattr(importing, "ATTEMPTS", 2)
    monkeypatch.setattr(importing, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = '50ms'")
    file = write_lines(tmp_path / "u.jsonl", *(user(n) for n in (3, 2, 1)))
    with engine.connect() as other:
        other.exec_driver_sql(ADD_AND_HOLD)
        with pytest.raises(Busy, match="other transactions hold rows of users; 2 rows were added") as caught:
            bring(engine, "users", file)
    assert "run the same command again" in str(caught.value.hint)
    assert counts(bring(engine, "users", file)) == (1, 2, 0)


@pytest.mark.parametrize("held", ["row", "table's import"])
def test_a_lock_that_is_released_meanwhile_costs_another_attempt_and_counts_nothing_twice(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    monkeypatch.setattr(importing, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = '50ms'")
    file = write_lines(tmp_path / "u.jsonl", user(0), user(1), user(2, access_level=4))
    met = []
    with engine.connect() as other:
        if held == "row":
            other.exec_driver_sql(ADD_AND_HOLD)
        else:
            other.execute(sa.text(QUERIES["lock_import"]), {"table": "users"})

        def release(context: sa.ExceptionContext) -> None:
            if isinstance(context.original_exception, LockNotAvailable):
                met.append(context.original_exception)
                other.rollback()

        sa.event.listen(engine, "handle_error", release)
        assert counts(bring(engine, "users", file)) == (2, 0, 1)
    assert len(met) == 1
    assert rows(engine, "SELECT attempts FROM intake_letters") == [(1,)]


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
