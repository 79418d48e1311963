"""Rotation of keys on a real database: nothing is lost, hidden or held up, whatever else goes on."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from psycopg.errors import LockNotAvailable
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from intake.errors import StoppedEarly
from ops.keys.rotation import Outcome, Rotation
from processor.settings import Settings
from sql.migrate import upgrade
from sql.models import User
from sql.sealed import Place, Sealer, key_id, open_row, place_of, seal_row, sealed_columns
from tests.integration.conftest import ROOT, aegis
from tests.integration.scratch import scratch_database, scratch_roles

USERS: sa.Table = User.__table__  # type: ignore[assignment]
FIELDS = [column.name for column in sealed_columns(USERS)]
KEYS = {"old": bytes(range(32)), "new": bytes(range(32, 64))}
OLD, BOTH = Sealer({"old": KEYS["old"]}, "old"), Sealer(KEYS, "new")
Contents = dict[UUID, tuple[Any, Any]]


@pytest.fixture
def engine(settings: Settings) -> Iterator[sa.Engine]:
    with scratch_roles(settings) as roles, scratch_database(settings) as made:
        upgrade(made, roles)
        yield made


@pytest.fixture
def configured(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command finds this database and both keys."""
    monkeypatch.setenv("POSTGRES_DB", str(engine.url.database))
    monkeypatch.delenv("FIELD_KEYS_FILE", raising=False)
    configure(monkeypatch, "old", "new")


def configure(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    entries = [f"{name}:{base64.b64encode(KEYS[name]).decode()}" for name in names]
    monkeypatch.setenv("FIELD_KEYS", " ".join(entries))
    monkeypatch.setenv("FIELD_KEYS_CURRENT", names[-1])


def user(n: int) -> dict[str, Any]:
    """Every third has no contact; every fifth stands under the new key already."""
    row = {
        "id": UUID(int=n),
        "email": f"user-{n}@example.org",
        "name": f"User {n}",
        "department": "Engineering",
        "personal_info": {"name": f"홍길동-{n}"},
        "contact_info": None if n % 3 == 0 else {"phone": f"비밀-{n}"},
    }
    return seal_row(USERS, row, BOTH if n % 5 == 0 else OLD)


def add(engine: sa.Engine, count: int = 30) -> Contents:
    """Users 1 to `count`; 5 in 3 values each, of which a fifth is new."""
    with engine.begin() as connection:
        connection.execute(sa.insert(USERS), [user(n) for n in range(1, count + 1)])
    return contents(engine)


def contents(engine: sa.Engine, sealer: Sealer = BOTH) -> Contents:
    """What all values say."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(USERS.c.id, *(USERS.c[name] for name in FIELDS))).mappings()
        opened = [open_row(USERS, row, sealer) for row in rows]
    return {row["id"]: (row["personal_info"], row["contact_info"]) for row in opened}


def by_key(engine: sa.Engine) -> Counter[str]:
    """Values under each key."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(USERS)).mappings().all()
    return Counter(
        key_id(place_of(USERS, name, row), row[name]) for row in rows for name in FIELDS if row[name]
    )


def write(connection: sa.Connection, n: int, value: dict[str, Any], sealer: Sealer = OLD) -> None:
    row = seal_row(USERS, {"id": UUID(int=n), "personal_info": value}, sealer)
    connection.execute(sa.update(USERS).where(USERS.c.id == row["id"]).values(row))


def put(engine: sa.Engine, n: int, column: str, value: bytes) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(USERS).where(USERS.c.id == UUID(int=n)).values({column: value}))


def rotate(
    engine: sa.Engine, batch_size: int = 7, sealer: Sealer = BOTH, stop: Event | None = None
) -> Outcome:
    with engine.connect() as connection:
        return Rotation(connection, sealer, batch_size, stop or Event()).run()


def audit(engine: sa.Engine) -> list[tuple[Any, ...]]:
    query = "SELECT entity_type, action, changes, metadata FROM audit_logs ORDER BY timestamp"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_everything_stands_under_the_current_key_and_says_what_it_said(engine: sa.Engine) -> None:
    before = add(engine)
    assert by_key(engine) == {"old": 40, "new": 10}
    outcome = rotate(engine)
    assert (outcome.resealed, outcome.left, outcome.done) == (40, 0, True)
    assert by_key(engine) == {"new": 50}
    assert contents(engine, Sealer({"new": KEYS["new"]}, "new")) == before
    changes = {"resealed": 40, "unreadable": 0}
    assert audit(engine) == [("users", "key_rotation", changes, {"key": "new", "completed": True})]


def test_what_stands_under_the_current_key_is_not_touched(engine: sa.Engine) -> None:
    add(engine)
    rotate(engine)
    versions = "SELECT string_agg(xmin::text, ',' ORDER BY id) FROM users"
    with engine.connect() as connection:
        before = connection.scalar(sa.text(versions))
    assert rotate(engine).resealed == 0
    with engine.connect() as connection:
        assert connection.scalar(sa.text(versions)) == before


@pytest.mark.parametrize("batch_size", [1, 24, 30])
def test_the_size_of_a_batch_changes_nothing_else(engine: sa.Engine, batch_size: int) -> None:
    add(engine)  # 24 rows have something to seal anew
    assert rotate(engine, batch_size).resealed == 40
    assert by_key(engine) == {"new": 50}


def test_of_a_row_only_the_value_under_another_key_is_sealed_anew(engine: sa.Engine) -> None:
    add(engine, 1)
    newer = BOTH.seal(place_of(USERS, "contact_info", user(1)), {"phone": "new already"})
    put(engine, 1, "contact_info", newer)
    assert rotate(engine).resealed == 1
    with engine.connect() as connection:
        assert connection.scalar(sa.select(USERS.c.contact_info)) == newer


def test_rows_that_have_nothing_to_seal_anew_are_neither_locked_nor_counted(engine: sa.Engine) -> None:
    add(engine)
    seen: list[tuple[int, int]] = []
    with engine.connect() as connection:
        Rotation(connection, BOTH, 20, Event()).run(lambda done, total: seen.append((done, total)))
    assert seen == [(20, 24), (24, 24)]


class Interrupted(Sealer):
    """Does something else between reading a value and writing it."""

    meanwhile: Callable[[Place], None]

    def reseal(self, place: Place, sealed: bytes) -> bytes:
        again = super().reseal(place, sealed)
        self.meanwhile(place)
        return again


def test_a_writer_that_comes_between_waits_and_is_not_overwritten(engine: sa.Engine) -> None:
    before = add(engine)
    sealer, met = Interrupted(KEYS, "new"), []

    def intrude(place: Place) -> None:
        with engine.connect() as connection:
            connection.execute(sa.text("SET lock_timeout = '20ms'"))
            try:
                write(connection, UUID(place.key).int, {"name": "written meanwhile"})
            except sa.exc.OperationalError as error:
                met.append(type(error.orig))
            else:
                connection.commit()

    sealer.meanwhile = intrude
    assert rotate(engine, sealer=sealer).resealed == 40
    assert set(met) == {LockNotAvailable}
    assert contents(engine) == before


def test_a_row_that_somebody_writes_is_passed_over_and_taken_by_the_next_run(engine: sa.Engine) -> None:
    before = add(engine)
    with engine.connect() as writer:
        write(writer, 7, {"name": "새 이름"})
        outcome = rotate(engine)
        assert (outcome.resealed, outcome.left, outcome.done) == (38, 2, False)
        writer.commit()
    assert contents(engine) == before | {UUID(int=7): ({"name": "새 이름"}, before[UUID(int=7)][1])}
    outcome = rotate(engine)
    assert (outcome.resealed, outcome.left, outcome.done) == (2, 0, True)
    assert contents(engine)[UUID(int=7)][0] == {"name": "새 이름"}


def test_a_value_written_under_the_old_key_behind_the_batch_is_found_at_the_end(engine: sa.Engine) -> None:
    add(engine)
    sealer = Interrupted(KEYS, "new")

    def intrude(place: Place) -> None:
        if UUID(place.key).int == 29:
            with engine.begin() as connection:
                write(connection, 1, {"name": "late"})

    sealer.meanwhile = intrude
    outcome = rotate(engine, sealer=sealer)
    assert (outcome.left, outcome.done) == (1, False)
    assert contents(engine)[UUID(int=1)][0] == {"name": "late"}


def test_new_references_to_a_user_are_neither_held_up_nor_in_the_way(engine: sa.Engine) -> None:
    add(engine)
    asks = "INSERT INTO search_queries (user_id, query) SELECT id, 'q' FROM users"
    with engine.connect() as asking:
        asking.execute(sa.text(asks))
        outcome = rotate(engine)
        assert (outcome.resealed, outcome.left) == (40, 0)
    sealer = Interrupted({**KEYS, "newer": bytes(32)}, "newer")
    asked = []

    def ask(place: Place) -> None:
        with engine.begin() as connection:
            connection.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
            asked.append(connection.execute(sa.text(f"{asks} WHERE id = '{place.key}'")).rowcount)

    sealer.meanwhile = ask
    assert rotate(engine, sealer=sealer).resealed == len(asked) == 50


def test_every_value_can_be_read_and_every_write_stays_while_two_runs_are_at_work(engine: sa.Engine) -> None:
    before = add(engine, 600)
    done = Event()

    def read() -> int:
        rounds = 0
        while not done.is_set() or not rounds:
            now = contents(engine)
            assert {key: now[key] for key in now if key.int % 7} == {
                key: before[key] for key in before if key.int % 7
            }
            rounds += 1
        return rounds

    def overwrite() -> dict[int, int]:
        last: dict[int, int] = {}
        while not done.is_set() or len(last) < 85:
            for n in range(7, 601, 7):
                last[n] = last.get(n, 0) + 1
                with engine.begin() as connection:
                    write(connection, n, {"written": last[n]}, OLD if last[n] % 2 else BOTH)
        return last

    with ThreadPoolExecutor(4) as pool:
        reader, writer = pool.submit(read), pool.submit(overwrite)
        try:
            runs = list(pool.map(lambda _: rotate(engine, batch_size=3), range(2)))
        finally:
            done.set()
        last = writer.result(timeout=120)
        assert reader.result(timeout=120) > 1
    assert all(run.resealed for run in runs)
    assert rotate(engine).done
    now = contents(engine)
    assert {n: now[UUID(int=n)][0] for n in last} == {n: {"written": times} for n, times in last.items()}
    assert {key for key in now if now[key] != before[key]} == {UUID(int=n) for n in last}


def spoil(engine: sa.Engine) -> None:
    """1: altered; 2: moved from another column; 3: plain; 4: under a key that nobody has."""
    altered = bytearray(user(1)["personal_info"])
    altered[-1] ^= 1
    put(engine, 1, "personal_info", bytes(altered))
    put(engine, 2, "personal_info", user(2)["contact_info"])
    put(engine, 3, "personal_info", '{"name": "홍길동-평문"}'.encode())
    lost = Sealer({"lost": bytes(32)}, "lost")
    put(engine, 4, "personal_info", lost.seal(place_of(USERS, "personal_info", user(4)), {"name": "x"}))


REASONS = {
    1: "altered, moved from another place, or key old is not the one it was sealed under",
    2: "altered, moved from another place, or key old is not the one it was sealed under",
    3: "not sealed, or in a newer format",
    4: "sealed under key lost, which is not configured",
}


def test_what_cannot_be_opened_is_left_as_it_is_named_and_does_not_stop_the_rest(engine: sa.Engine) -> None:
    add(engine)
    spoil(engine)
    with engine.connect() as connection:
        query = sa.select(USERS.c.personal_info).where(USERS.c.id < UUID(int=5)).order_by(USERS.c.id)
        spoiled = connection.execute(query).scalars().all()
        outcome = rotate(engine)
        assert connection.execute(query).scalars().all() == spoiled
    assert (outcome.resealed, outcome.left, outcome.unreadable.count, outcome.done) == (36, 0, 4, False)
    assert outcome.unreadable.named == [
        {"key": str(UUID(int=n)), "column": "personal_info", "reason": reason}
        for n, reason in REASONS.items()
    ]
    assert audit(engine)[0][2] == {"resealed": 36, "unreadable": 4}


def test_the_command_counts_and_names_what_cannot_be_opened_and_shows_no_value(
    engine: sa.Engine, configured: None
) -> None:
    add(engine)
    spoil(engine)
    status = aegis("keys", "status", check=False)
    assert status.returncode == 1
    assert status.stdout.splitlines()[:4] == [
        "lost: 1 values (not configured)",
        "new: 10 values (current)",
        "old: 38 values",
        "4 values cannot be opened:",
    ]
    answer = json.loads(aegis("keys", "status", "--json", check=False).stdout)
    assert (answer["keys"], answer["outdated"]) == ({"lost": 1, "new": 10, "old": 38}, 36)
    assert answer["unreadable_values"] == len(answer["unreadable"]) == 4
    dry = aegis("keys", "rotate", "--dry-run").stdout
    assert dry.startswith("36 values would be sealed anew under key new\n4 values cannot be opened:\n")
    assert audit(engine) == []
    rotated = aegis("keys", "rotate", "--batch-size", "2", check=False)
    assert rotated.returncode == 1
    assert rotated.stdout.startswith("36 values sealed anew under key new\n4 values cannot be opened:\n")
    for text in (status.stdout, dry, rotated.stdout):
        for n, reason in REASONS.items():
            assert f"  users {UUID(int=n)} personal_info: {reason}\n" in text
        assert "홍길동" not in text
        assert "비밀" not in text
    answer = json.loads(aegis("keys", "rotate", "--json", check=False).stdout)
    assert (answer["resealed"], answer["left"], answer["unreadable_values"]) == (0, 0, 4)


def test_status_is_good_when_all_can_be_opened_and_the_old_key_can_go_after_a_rotation(
    engine: sa.Engine, configured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = add(engine)
    assert aegis("keys", "status").stdout == "new: 10 values (current)\nold: 40 values\n"
    assert json.loads(aegis("keys", "rotate", "--json").stdout) == {
        "current": "new",
        "resealed": 40,
        "left": 0,
        "unreadable_values": 0,
        "unreadable": [],
        "completed": True,
    }
    configure(monkeypatch, "new")
    assert aegis("keys", "status").stdout == "new: 50 values (current)\n"
    assert contents(engine) == before


@pytest.mark.parametrize(("number_of_signal", "code"), [(signal.SIGTERM, 4), (signal.SIGKILL, -9)])
def test_a_signal_ends_it_anywhere_and_the_next_run_goes_on(
    engine: sa.Engine, configured: None, number_of_signal: int, code: int
) -> None:
    before = add(engine, 3_000)
    total = by_key(engine)["old"]
    command = [str(Path(sys.executable).with_name("aegis")), "keys", "rotate", "--batch-size", "1"]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    some_done = Retrying(
        retry=retry_if_result(lambda n: n > total - 20), wait=wait_fixed(0.01), stop=stop_after_delay(60)
    )
    some_done(lambda: by_key(engine)["old"])
    running.send_signal(number_of_signal)
    said, error = running.communicate(timeout=60)
    assert (running.returncode, said) == (code, "")
    left = by_key(engine)["old"]
    assert 0 < left < total
    assert contents(engine) == before
    [(*_, changes, metadata)] = audit(engine)
    assert (changes["resealed"], metadata["completed"]) == (total - left, False)
    if code == 4:
        assert f"stopped: {total - left} values sealed anew, {left} are left" in error
        assert "next: aegis keys rotate" in error
    assert rotate(engine, 500).resealed == left
    assert contents(engine) == before


def test_told_to_stop_before_the_first_batch_it_has_done_nothing(engine: sa.Engine) -> None:
    add(engine)
    stop = Event()
    stop.set()
    with pytest.raises(StoppedEarly, match="0 values sealed anew, 40 are left"):
        rotate(engine, stop=stop)
    assert by_key(engine)["old"] == 40


def test_without_a_key_the_commands_say_how_to_make_one(
    configured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIELD_KEYS", "")
    monkeypatch.setenv("FIELD_KEYS_CURRENT", "")
    for command in ("status", "rotate"):
        result = aegis("keys", command, check=False)
        assert result.returncode == 10
        assert "next: aegis keys generate" in result.stderr


def test_a_generated_key_can_be_used_as_it_is_printed(
    engine: sa.Engine, configured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = aegis("keys", "generate", "--id", "2026-01")
    assert made.stdout.startswith("2026-01:")
    assert made.stdout.count("\n") == 1
    assert "FIELD_KEYS_CURRENT=2026-01" in made.stderr
    assert made.stdout.strip().partition(":")[2] not in made.stderr
    monkeypatch.setenv("FIELD_KEYS", made.stdout)
    monkeypatch.setenv("FIELD_KEYS_CURRENT", "")
    assert aegis("seed", "--count", "1").returncode == 0
    assert aegis("keys", "status").stdout == "2026-01: 6 values (current)\n"
    again = json.loads(aegis("keys", "generate", "--json").stdout)
    assert again["key"] not in made.stdout
    assert aegis("keys", "generate", "--id", "a b", check=False).returncode == 2
