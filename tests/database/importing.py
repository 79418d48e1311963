"""What tests of imports share: lines of several tables, and a database in which they have a place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from intake.importing import Outcome, RowImport
from intake.rows import table_of
from processor.settings import Settings
from sql.seed.policies import SAMPLE
from tests.database.own_database import own_database

USER, QUERY = UUID(int=1), UUID(int=2)


@contextmanager
def database_with_a_question(settings: Settings) -> Iterator[sa.Engine]:
    """A database of its own with a user and a question."""
    with own_database(settings) as made:
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
