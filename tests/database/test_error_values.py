"""What PostgreSQL refuses is told by the constraint's name, without a value of the row."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from processor.database import explaining, make_engine
from processor.errors import SourceError
from processor.settings import Settings
from sql.migrate import upgrade
from sql.models import User
from tests.integration.scratch import scratch_database, scratch_roles

SECRET = "남궁서연비밀"
ROW = {"email": f"{SECRET}@personal.example", "name": SECRET, "department": "D", "address": SECRET}


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[sa.Engine]:
    with scratch_roles(settings) as roles, scratch_database(settings) as made:
        upgrade(made, roles)
        with made.begin() as connection:
            connection.execute(sa.insert(User), ROW)
        yield make_engine(made.url, poolclass=sa.NullPool)


def refusal(engine: sa.Engine, statement: Any, row: Any = None) -> sa.exc.DBAPIError:
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
        connection.execute(statement, row)
    return caught.value


@pytest.mark.parametrize(
    ("change", "says", "has_detail"),
    [
        ({}, 'violates unique constraint "idx_users_email"', True),
        ({"email": "x", "access_level": 4}, 'violates check constraint "ck_users_access_level"', True),
        ({"email": "x", "department": None}, 'null value in column "department"', True),
        ({"email": "x", "name": SECRET * 99}, "value too long for type character varying(100)", False),
    ],
)
def test_neither_the_error_nor_its_trace_holds_a_value(
    engine: sa.Engine, change: dict[str, Any], says: str, has_detail: bool
) -> None:
    error = refusal(engine, sa.insert(User), ROW | change)
    told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.orig) + str(error.args)
    assert says in str(error)
    assert says in str(error.orig)
    assert "INSERT INTO users" in str(error)
    assert SECRET not in told
    # the test means something: PostgreSQL did tell it
    assert isinstance(error.orig, psycopg.Error)
    assert (SECRET in (error.orig.diag.message_detail or "")) == has_detail


def test_what_to_do_is_still_told(engine: sa.Engine) -> None:
    error = refusal(engine, sa.text("SELECT emial FROM users"))
    assert 'column "emial" does not exist' in str(error)
    assert 'HINT:  Perhaps you meant to reference the column "users.email"' in str(error)


def test_what_no_server_has_said_stays_as_it_is(settings: Settings) -> None:
    nobody = make_engine(settings.postgres.url().set(port=1), poolclass=sa.NullPool)
    with pytest.raises(sa.exc.OperationalError, match="port 1 failed"):
        nobody.connect()


def test_the_drivers_and_sqlalchemys_logs_hold_no_value(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        loud = make_engine(engine.url, poolclass=sa.NullPool, echo=True)
        refusal(loud, sa.insert(User), ROW)
    assert "INSERT INTO users" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
def test_another_transaction_in_the_way_is_not_taken_for_a_server_that_is_down(
    engine: sa.Engine, state: str
) -> None:
    statement = sa.text(f"DO $$ BEGIN RAISE 'in the way' USING ERRCODE = '{state}'; END $$")
    with pytest.raises(SourceError) as caught, explaining(engine.url), engine.connect() as connection:
        connection.execute(statement)
    assert str(caught.value) == f"postgresql at {engine.url.host}:{engine.url.port}: in the way"
    assert caught.value.hint == "run the same command again, when others have ended"
