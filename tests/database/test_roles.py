"""What the two roles may do, tried as they are: logged in with their passwords."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg.errors import InsufficientPrivilege

from processor.settings import Settings
from sql.capture import captured_tables, full_name, published_columns
from sql.migrate import Role, Roles, downgrade, upgrade
from tests.database import uncaptured
from tests.integration.scratch import AWKWARD, engine_as, scratch_database, scratch_roles

WRITES = (
    "UPDATE users SET access_level = 3",
    "UPDATE policies SET title = 'x'",
    "DELETE FROM policies",
    "DELETE FROM users",
    "TRUNCATE business_rules",
    "INSERT INTO users (email, name, department) VALUES ('a', 'b', 'c')",
    "INSERT INTO cdc.fence DEFAULT VALUES",
    "DELETE FROM cdc.heartbeat",
    "CREATE TABLE mine (id int)",
    "ALTER PUBLICATION aegis_publication DROP TABLE users",
    "CREATE ROLE another",
)


@pytest.fixture(scope="module")
def roles(settings: Settings) -> Iterator[Roles]:
    with scratch_roles(settings) as made:
        yield made


@pytest.fixture(scope="module")
def migrated(settings: Settings, roles: Roles) -> Iterator[sa.Engine]:
    with scratch_database(settings) as engine:
        upgrade(engine, roles)
        yield engine


@pytest.fixture(scope="module")
def debezium(settings: Settings, roles: Roles, migrated: sa.Engine) -> sa.Engine:
    """Logs in with a password full of quotes and backslashes."""
    return engine_as(settings, str(migrated.url.database), roles.debezium)


@pytest.fixture(scope="module")
def processor(settings: Settings, roles: Roles, migrated: sa.Engine) -> sa.Engine:
    """Logs in with a password full of quotes and backslashes."""
    return engine_as(settings, str(migrated.url.database), roles.processor)


def refused(engine: sa.Engine, statement: str) -> bool:
    with engine.connect() as connection, pytest.raises(sa.exc.ProgrammingError) as caught:
        connection.execute(sa.text(statement))
    return isinstance(caught.value.orig, InsufficientPrivilege)


def both(debezium: sa.Engine, processor: sa.Engine) -> tuple[sa.Engine, sa.Engine]:
    return debezium, processor


def test_both_read_exactly_the_published_columns(debezium: sa.Engine, processor: sa.Engine) -> None:
    for engine in both(debezium, processor):
        for table in captured_tables():
            published = published_columns(table)
            with engine.connect() as connection:
                assert connection.execute(sa.select(*published)).all() == []
            for column in set(table.columns) - set(published):
                assert refused(engine, f"SELECT {column.name} FROM {full_name(table)}")


def test_the_processor_sees_who_wrote_and_who_removes_a_row(processor: sa.Engine) -> None:
    with processor.connect() as connection:
        for table in captured_tables():
            connection.execute(sa.text(f"SELECT xmin, xmax FROM {full_name(table)}"))


@pytest.mark.parametrize("statement", WRITES)
def test_neither_writes_what_is_not_its_own(
    debezium: sa.Engine, processor: sa.Engine, statement: str
) -> None:
    for engine in both(debezium, processor):
        assert refused(engine, statement)


def test_debezium_moves_the_heartbeat_and_writes_and_removes_signals(debezium: sa.Engine) -> None:
    with debezium.begin() as connection:
        moved = connection.execute(sa.text("UPDATE cdc.heartbeat SET ts = now() WHERE id = 1 RETURNING ts"))
        assert moved.scalar_one() is not None
        connection.execute(sa.text("INSERT INTO cdc.signal VALUES ('1', 'snapshot-window-open', NULL)"))
        removed = connection.execute(sa.text("DELETE FROM cdc.signal WHERE id = '1' RETURNING type"))
        assert removed.scalar_one() == "snapshot-window-open"
        assert connection.scalar(sa.text("SELECT count(*) FROM cdc.fence")) == 0


@pytest.mark.parametrize("table", ["fence", "heartbeat", "signal"])
def test_the_processor_has_no_business_in_schema_cdc(processor: sa.Engine, table: str) -> None:
    assert refused(processor, f"SELECT * FROM cdc.{table}")


@pytest.mark.parametrize("table", sorted(uncaptured.VALID))
def test_neither_reads_or_writes_a_table_that_is_not_captured(
    debezium: sa.Engine, processor: sa.Engine, table: str
) -> None:
    for engine in both(debezium, processor):
        if engine is debezium or table != "quality_metrics":
            assert refused(engine, f"SELECT count(*) FROM {table}")
            assert refused(engine, f"SELECT FROM {table}")
        assert refused(engine, f"INSERT INTO {table} DEFAULT VALUES")
        assert refused(engine, f"DELETE FROM {table}")


def test_the_processor_reads_a_policys_quality_and_not_what_it_was_made_of(processor: sa.Engine) -> None:
    with processor.connect() as connection:
        score = "SELECT id, policy_id, total_score, calculated_at FROM quality_metrics"
        assert connection.execute(sa.text(score)).all() == []
    assert refused(processor, "SELECT completeness FROM quality_metrics")


def test_only_debezium_replicates_and_neither_has_another_power(migrated: sa.Engine, roles: Roles) -> None:
    query = (
        "SELECT rolname, rolcanlogin, rolreplication, "
        "rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls "
        "FROM pg_roles WHERE rolname IN (:debezium, :processor) ORDER BY rolname"
    )
    with migrated.connect() as connection:
        names = {"debezium": roles.debezium.name, "processor": roles.processor.name}
        assert [tuple(row) for row in connection.execute(sa.text(query), names)] == [
            (roles.debezium.name, True, True, False),
            (roles.processor.name, True, False, False),
        ]


def names_of(engine: sa.Engine, roles: Roles) -> set[str]:
    names = [roles.debezium.name, roles.processor.name]
    with engine.connect() as connection:
        found = connection.execute(
            sa.text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:n)"), {"n": names}
        )
        return set(found.scalars())


def test_roles_that_another_database_needs_survive_a_downgrade_and_go_with_the_last(
    settings: Settings,
) -> None:
    with (
        scratch_roles(settings) as roles,
        scratch_database(settings) as one,
        scratch_database(settings) as two,
    ):
        names = {roles.debezium.name, roles.processor.name}
        upgrade(one, roles)
        upgrade(two, roles)

        downgrade(two, roles, "base")
        assert names_of(one, roles) == names
        with engine_as(settings, str(one.url.database), roles.processor).connect() as connection:
            assert connection.scalar(sa.text("SELECT count(policy_id) FROM policies")) == 0

        downgrade(one, roles, "base")
        assert names_of(one, roles) == set()


def test_a_role_that_exists_gets_the_new_password_and_keeps_the_old_when_none_is_given(
    settings: Settings,
) -> None:
    with scratch_roles(settings) as roles, scratch_database(settings) as engine:
        upgrade(engine, roles)
        name = str(engine.url.database)

        downgrade_keeping_roles(engine, roles)
        changed = Roles(Role(roles.debezium.name, "new"), Role(roles.processor.name))
        upgrade(engine, changed)

        for role in (changed.debezium, roles.processor):
            with engine_as(settings, name, role).connect() as connection:
                assert connection.scalar(sa.text("SELECT current_user")) == role.name
        with pytest.raises(sa.exc.OperationalError, match="password authentication failed"):
            engine_as(settings, name, roles.debezium).connect()


def downgrade_keeping_roles(engine: sa.Engine, roles: Roles) -> None:
    """Something else that depends on the roles keeps them."""
    with engine.begin() as connection:
        for role in (roles.debezium, roles.processor):
            connection.execute(sa.text(f'CREATE SCHEMA "{role.name}"'))
            connection.execute(sa.text(f'GRANT USAGE ON SCHEMA "{role.name}" TO "{role.name}"'))
    downgrade(engine, roles, "base")


def test_no_password_appears_in_any_log_or_description(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with scratch_roles(settings) as roles, scratch_database(settings) as engine:
        with caplog.at_level(logging.DEBUG):
            loud = sa.create_engine(engine.url, poolclass=sa.NullPool, echo="debug")
            upgrade(loud, roles)
        assert "CREATE TABLE policies" in caplog.text
        assert "GRANT SELECT" in caplog.text
        assert "비밀" not in caplog.text
        assert AWKWARD not in caplog.text
        assert "SCRAM-SHA-256" not in caplog.text
        assert "비밀" not in repr(roles)


def test_the_server_gets_a_verifier_and_never_the_password(settings: Settings, tmp_path: Path) -> None:
    with scratch_roles(settings) as made, scratch_database(settings) as engine:
        roles = Roles(Role(made.debezium.name, "plain-secret"), Role(made.processor.name, "plain-secret"))
        with (tmp_path / "sent").open("wb") as sent:

            def trace(driver: Any, _: object) -> None:
                driver.pgconn.trace(sent.fileno())

            sa.event.listen(engine, "connect", trace)
            upgrade(engine, roles)
            sa.event.remove(engine, "connect", trace)
        text = (tmp_path / "sent").read_text(errors="replace")
        assert text.count("PASSWORD 'SCRAM-SHA-256$") == 2
        assert "plain-secret" not in text
        with engine_as(settings, str(engine.url.database), roles.debezium).connect() as connection:
            assert connection.scalar(sa.text("SELECT current_user")) == roles.debezium.name
