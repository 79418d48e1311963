"""`aegis migrate` as a user runs it, and what it says when something is wrong."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.settings import Settings
from sql.migrate import Roles, head
from sql.queries import QUERIES
from tests.integration.conftest import ROOT, aegis
from tests.integration.scratch import scratch_database, scratch_roles


@pytest.fixture
def scratch(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[sa.Engine, Roles]]:
    """An empty database and names of roles, which the command takes from the environment."""
    with scratch_roles(settings) as roles, scratch_database(settings) as engine:
        monkeypatch.setenv("POSTGRES_DB", str(engine.url.database))
        monkeypatch.setenv("POSTGRES_DEBEZIUM_USER", roles.debezium.name)
        monkeypatch.setenv("POSTGRES_DEBEZIUM_PASSWORD", roles.debezium.password)
        monkeypatch.setenv("POSTGRES_PROCESSOR_USER", roles.processor.name)
        monkeypatch.setenv("POSTGRES_PROCESSOR_PASSWORD", roles.processor.password)
        yield engine, roles


def fails(code: int, *arguments: str) -> tuple[str, str]:
    """Run it; return its two lines on stderr: what happened, what to run next."""
    result = aegis("migrate", *arguments, check=False)
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    what, following = result.stderr.splitlines()
    assert what.startswith("error")
    assert following.startswith("next: ")
    return what, following


def test_the_second_run_says_that_there_is_nothing_to_do(scratch: tuple[sa.Engine, Roles]) -> None:
    name = scratch[0].url.database
    assert aegis("migrate").stdout == f"database {name}: empty -> {head()}\n"
    assert aegis("migrate").stdout == f"database {name}: already at {head()}\n"


def test_it_goes_to_a_revision_when_told_and_refuses_one_below(scratch: tuple[sa.Engine, Roles]) -> None:
    name = scratch[0].url.database
    assert aegis("migrate", "--to", "0002").stdout == f"database {name}: empty -> 0002\n"
    assert "the database is at 0002 already, beyond 0001" in fails(10, "--to", "0001")[0]
    what, following = fails(10, "--to", "nope")
    assert "there is no revision nope, only 0001, 0002" in what
    assert "aegis migrate" in following


def waiting(engine: sa.Engine) -> int:
    """Migrations of this database that wait for another one."""
    with engine.connect() as connection:
        found = connection.scalar(
            sa.text(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    return int(found or 0)


def test_two_at_once_become_one_after_the_other(scratch: tuple[sa.Engine, Roles]) -> None:
    engine = scratch[0]
    command = [str(Path(sys.executable).with_name("aegis")), "migrate"]
    both_wait = Retrying(
        retry=retry_if_result(lambda found: found != 2), wait=wait_fixed(0.05), stop=stop_after_delay(60)
    )
    started = []
    try:
        with engine.begin() as gate:
            gate.execute(sa.text(QUERIES["lock_migrations"]))
            for _ in range(2):
                started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
            both_wait(waiting, engine)
        said = sorted(each.communicate(timeout=60)[0] for each in started)
    finally:
        for each in started:
            each.kill()
            each.communicate()
    name = engine.url.database
    assert said == [f"database {name}: already at {head()}\n", f"database {name}: empty -> {head()}\n"]
    assert [each.returncode for each in started] == [0, 0]


def test_a_wrong_password_names_the_role_and_the_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "wrong-one")
    what, following = fails(1)
    assert f"refuses role {settings.postgres.user}" in what
    assert "password authentication failed" in what
    assert "POSTGRES_*" in following
    assert "aegis stack env" in following
    assert "wrong-one" not in what + following


def test_a_server_that_does_not_listen_is_named_with_the_command_that_starts_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as bound:  # bound but not listening: nobody else can answer there
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        monkeypatch.setenv("POSTGRES_PORT", str(port))
        what, following = fails(1)
    assert f"postgresql at 127.0.0.1:{port} does not answer" in what
    assert "Connection refused" in what
    assert "aegis stack up postgres" in following


def test_a_missing_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_DB", "no_such_database")
    what, following = fails(1)
    assert 'database "no_such_database" does not exist' in what
    assert "POSTGRES_DB" in following


@pytest.mark.parametrize("role", ["DEBEZIUM", "PROCESSOR"])
def test_a_missing_password_of_a_role_is_named_before_anything_changes(
    scratch: tuple[sa.Engine, Roles], monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.setenv(f"POSTGRES_{role}_PASSWORD", "")
    what, following = fails(10)
    assert what == f"error: POSTGRES_{role}_PASSWORD must be set"
    assert "aegis stack up" in following
    assert not sa.inspect(scratch[0]).get_table_names()


def test_a_role_that_may_not_migrate_is_told_who_may(
    scratch: tuple[sa.Engine, Roles], monkeypatch: pytest.MonkeyPatch
) -> None:
    aegis("migrate", "--to", head())
    with scratch[0].begin() as connection:
        connection.execute(sa.text("DROP TABLE alembic_version"))
    monkeypatch.setenv("POSTGRES_USER", scratch[1].processor.name)
    monkeypatch.setenv("POSTGRES_PASSWORD", scratch[1].processor.password)
    what, following = fails(1)
    assert f"role {scratch[1].processor.name}: permission denied" in what
    assert "POSTGRES_USER" in following
