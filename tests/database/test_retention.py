"""Forgetting old search history: exactly what is too old, in small transactions, whatever else goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from intake import retention
from intake.errors import Busy, StoppedEarly
from intake.retention import Outcome, Removed, Retention
from processor.settings import Settings
from sql.migrate import upgrade
from sql.queries import QUERIES
from tests.integration.conftest import ROOT, aegis
from tests.integration.scratch import scratch_database, scratch_roles

HISTORY = """
    INSERT INTO users (email, name, department) VALUES ('a@company.com', 'A', 'Engineering');
    INSERT INTO search_queries (user_id, query, timestamp)
        SELECT u.id, 'question ' || n, now() - n * interval '1 day' + interval '1 hour'
        FROM users u, generate_series(1, :questions) n;
    INSERT INTO search_responses (query_id, sources, response_time_ms)
        SELECT id, '[]', 5 FROM search_queries WHERE right(query, 1) <> '0';
    INSERT INTO user_feedback (query_id, user_id, rating)
        SELECT q.id, user_id, 3 FROM search_queries q, generate_series(1, 3) WHERE right(query, 1) = '1';
    ANALYZE;
"""
ALL_OLD = Removed(search_queries=30, search_responses=27, user_feedback=9)
"""Of 120 questions, one a day, with an answer to nine of ten and three feedbacks to one: those from 91 on."""
WITHIN_A_MINUTE = stop_after_delay(60)


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    with scratch_roles(settings) as roles, scratch_database(settings) as made:
        upgrade(made, roles)
        yield made


def ask(engine: sa.Engine, questions: int = 120) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(HISTORY.replace(":questions", str(questions)))


def forget(
    engine: sa.Engine,
    batch_size: int = 7,
    stop: Event | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    with engine.connect() as connection:
        work = Retention(connection, 90, batch_size, stop or Event())
        return work.run(progress) if progress else work.run()


def rows(engine: sa.Engine, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query), parameters)]


def number(engine: sa.Engine, table: str) -> int:
    [(found,)] = rows(engine, f"SELECT count(*) FROM {table}")
    return int(found)


def audit(engine: sa.Engine) -> list[tuple[Any, ...]]:
    """What every run has told of itself: entity, action, actor, rows removed, whether it came to its end."""
    return rows(
        engine,
        "SELECT entity_type, entity_id, action, actor, changes -> 'removed', metadata -> 'completed' "
        "FROM audit_logs ORDER BY timestamp",
    )


def as_dict(removed: Removed) -> dict[str, int]:
    return {
        "search_queries": removed.search_queries,
        "search_responses": removed.search_responses,
        "user_feedback": removed.user_feedback,
    }


def test_exactly_what_is_older_than_the_days_goes_with_all_that_belongs_to_it(
    engine: sa.Engine, settings: Settings
) -> None:
    ask(engine)
    outcome = forget(engine)
    assert (outcome.removed, outcome.left, outcome.completed) == (ALL_OLD, 0, True)

    kept = rows(engine, "SELECT query FROM search_queries ORDER BY timestamp DESC")
    assert kept == [(f"question {n}",) for n in range(1, 91)]
    assert (number(engine, "search_responses"), number(engine, "user_feedback")) == (81, 27)
    assert number(engine, "users") == 1
    owner = settings.postgres.user
    assert audit(engine) == [("search_queries", None, "retention", owner, as_dict(ALL_OLD), True)]


def test_a_dry_run_tells_the_same_numbers_and_changes_nothing(engine: sa.Engine) -> None:
    ask(engine)
    with engine.connect() as connection:
        outcome = Retention(connection, 90, 7, Event()).count()
    assert (outcome.removed, outcome.dry_run) == (ALL_OLD, True)
    assert number(engine, "search_queries") == 120
    assert audit(engine) == []


def test_nothing_too_old_is_a_run_too_and_leaves_its_entry(engine: sa.Engine) -> None:
    assert forget(engine).removed == Removed()
    [(*_, removed, completed)] = audit(engine)
    assert (removed, completed) == (as_dict(Removed()), True)


def test_no_transaction_removes_more_rows_of_a_table_than_the_batch_has(engine: sa.Engine) -> None:
    ask(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO user_feedback (query_id, user_id, rating) "
            "SELECT id, user_id, 1 FROM search_queries, generate_series(1, 36) WHERE query = 'question 105'"
        )
        connection.exec_driver_sql(
            "CREATE TABLE removals (xid xid8, name text, n int);"
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " INSERT INTO removals SELECT pg_current_xact_id(), TG_TABLE_NAME, count(*) FROM gone;"
            " RETURN NULL; END $$"
        )
        for table in as_dict(ALL_OLD):
            connection.exec_driver_sql(
                f"CREATE TRIGGER note AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone "
                "FOR EACH STATEMENT EXECUTE FUNCTION note()"
            )
    outcome = forget(engine)
    assert outcome.removed == Removed(30, 27, 45)
    largest = rows(engine, "SELECT xid, name, sum(n) FROM removals GROUP BY 1, 2 HAVING sum(n) > 7")
    assert largest == []
    total = dict(rows(engine, "SELECT name, sum(n)::int FROM removals GROUP BY 1"))
    assert total == as_dict(outcome.removed)
    [(transactions,)] = rows(engine, "SELECT count(DISTINCT xid) FROM removals WHERE n > 0")
    assert transactions > 5


def test_a_question_that_is_being_answered_is_passed_over_and_left_for_the_next_run(
    engine: sa.Engine,
) -> None:
    ask(engine)
    with engine.connect() as other:
        other.execute(
            sa.text(
                "INSERT INTO user_feedback (query_id, user_id, rating) "
                "SELECT id, user_id, 5 FROM search_queries WHERE query = 'question 100'"
            )
        )
        outcome = forget(engine)
        assert (outcome.removed.search_queries, outcome.left, outcome.completed) == (29, 1, True)
        other.commit()
    assert number(engine, "user_feedback") == 28
    assert forget(engine).removed == Removed(1, 0, 1)


def test_two_runs_at_once_share_the_work(engine: sa.Engine) -> None:
    ask(engine, questions=400)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: forget(engine, batch_size=3), range(2))
    assert one.removed + two.removed == Removed(310, 279, 93)
    assert number(engine, "search_queries") == 90
    assert sum(removed["search_queries"] for *_, removed, _ in audit(engine)) == 310


def test_told_to_stop_it_ends_after_the_batch_and_the_next_run_goes_on(engine: sa.Engine) -> None:
    ask(engine)
    stop, seen = Event(), []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        stop.set()

    with pytest.raises(StoppedEarly, match="7 questions removed, 23 are left") as caught:
        forget(engine, stop=stop, progress=progress)
    assert caught.value.hint == "aegis intake retention --days 90"
    assert seen == [(7, 30)]
    [(*_, removed, completed)] = audit(engine)
    assert (removed["search_queries"], completed) == (7, False)

    assert forget(engine).removed.search_queries == 23
    assert number(engine, "search_queries") == 90


def test_the_batch_gives_way_to_who_would_wait_for_it_while_it_waits_for_them(engine: sa.Engine) -> None:
    ask(engine)
    feedback = (
        "SELECT f.id FROM user_feedback f JOIN search_queries q ON q.id = query_id "
        "WHERE query = 'question 111' FOR UPDATE OF f"
    )
    with engine.connect() as other, ThreadPoolExecutor(1) as pool:
        other.execute(sa.text(feedback))
        running = pool.submit(forget, engine)
        Retrying(retry=retry_if_result(lambda n: n == 0), wait=wait_fixed(0.01), stop=WITHIN_A_MINUTE)(
            waiting, engine
        )
        # the batch holds this question and waits for the feedback that we hold
        other.execute(sa.text("DELETE FROM search_queries WHERE query = 'question 111'"))
        other.commit()
        outcome = running.result(timeout=60)
    assert outcome.removed == Removed(29, 26, 6)
    assert number(engine, "search_queries") == 90


def waiting(engine: sa.Engine) -> int:
    """Sessions of this database that wait for a lock."""
    [(found,)] = rows(
        engine,
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    return int(found)


def test_rows_that_stay_locked_end_the_run_with_what_to_do(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ATTEMPTS", 2)
    ask(engine)
    with engine.connect() as other:
        other.execute(sa.text("SELECT FROM user_feedback FOR UPDATE"))
        with pytest.raises(Busy, match="hold rows of the search history; 0 questions are removed") as caught:
            forget(engine, batch_size=100)
    assert "aegis intake retention --days 90" in str(caught.value.hint)
    assert number(engine, "search_queries") == 120
    assert forget(engine).removed == ALL_OLD


def start(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> subprocess.Popen[str]:
    """The command at work on 5,000 old questions, one a transaction, of which some are gone already."""
    ask(engine, questions=5_090)
    monkeypatch.setenv("POSTGRES_DB", str(engine.url.database))
    command = [
        str(Path(sys.executable).with_name("aegis")),
        "intake",
        "retention",
        "--batch-size",
        "1",
        "--json",
    ]
    started = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    few_left = Retrying(
        retry=retry_if_result(lambda n: n > 5_070), wait=wait_fixed(0.01), stop=WITHIN_A_MINUTE
    )
    few_left(number, engine, "search_queries")
    return started


@pytest.mark.parametrize(("number_of_signal", "code"), [(signal.SIGTERM, 4), (signal.SIGKILL, -9)])
def test_a_signal_ends_the_command_and_its_entry_tells_what_was_done(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, number_of_signal: int, code: int
) -> None:
    running = start(engine, monkeypatch)
    running.send_signal(number_of_signal)
    said, error = running.communicate(timeout=60)
    assert (running.returncode, said) == (code, "")
    left = number(engine, "search_queries")
    assert 90 < left < 5_090
    [(*_, removed, completed)] = audit(engine)
    assert (removed["search_queries"], completed) == (5_090 - left, False)
    if code == 4:
        assert f"stopped: {5_090 - left} questions removed, {left - 90} are left" in error
        assert "next: aegis intake retention --days 90" in error

    answer = json.loads(aegis("intake", "retention", "--json").stdout)
    assert (answer["removed"]["search_queries"], answer["left"], answer["completed"]) == (left - 90, 0, True)


def test_the_command_speaks_to_people_and_takes_its_options(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(engine)
    monkeypatch.setenv("POSTGRES_DB", str(engine.url.database))
    said = aegis("intake", "retention", "--days", "100", "--dry-run").stdout
    assert said.endswith("20 questions, 18 answers, 6 of feedback would be removed\n")
    said = aegis("intake", "retention", "--days", "100", "--batch-size", "2").stdout
    assert said.endswith("20 questions, 18 answers, 6 of feedback removed\n")
    assert number(engine, "search_queries") == 100
    assert aegis("intake", "retention", "--days", "0", check=False).returncode == 2


def test_a_database_that_is_not_migrated_is_explained(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scratch_database(settings) as empty:
        monkeypatch.setenv("POSTGRES_DB", str(empty.url.database))
        result = aegis("intake", "retention", check=False)
    assert result.returncode == 1
    assert "next: aegis migrate" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("expired_queries", "idx_search_queries_timestamp"),
        ("expired_count", "idx_search_queries_timestamp"),
        ("remove_feedback", "idx_user_feedback_query_id"),
        ("remove_responses", "idx_search_responses_query_id"),
    ],
)
def test_every_step_finds_its_rows_by_an_index(engine: sa.Engine, name: str, index: str) -> None:
    ask(engine, questions=20_000)
    with engine.connect() as connection:
        [before] = connection.execute(sa.text("SELECT now() - interval '19950 days'")).scalars()
        ids = connection.execute(sa.text("SELECT id FROM search_queries LIMIT 20")).scalars().all()
        statement = sa.text("EXPLAIN " + QUERIES[name].split("\n", 1)[1])
        given = {"before": before, "since": retention.BEGINNING, "limit": 20, "ids": list(ids)}
        wanted = {key: given[key] for key in statement._bindparams}
        plan = "\n".join(connection.execute(statement, wanted).scalars())
    assert index in plan
    assert "Seq Scan" not in plan
