"""What tests of the intake share: a migrated database of their own, and how they look into it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.settings import Settings
from sql.migrate import upgrade
from tests.integration.scratch import scratch_database, scratch_roles


@contextmanager
def own_database(settings: Settings) -> Iterator[sa.Engine]:
    """A database with all tables and no row."""
    with scratch_roles(settings) as roles, scratch_database(settings) as engine:
        upgrade(engine, roles)
        yield engine


def rows(engine: sa.Engine, query: str) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def write_lines(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    """A file of these lines."""
    encoded = (
        item if isinstance(item, bytes) else json.dumps(item, ensure_ascii=False).encode() for item in lines
    )
    path.write_bytes(b"\n".join(encoded))
    return path


@contextmanager
def statements(engine: sa.Engine) -> Iterator[list[str]]:
    """The statements that are sent meanwhile."""
    sent: list[str] = []

    def note(*arguments: Any) -> None:
        sent.append(str(arguments[2]))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def plan(connection: sa.Connection, statement: str, **parameters: Any) -> str:
    """How PostgreSQL would find it."""
    return "\n".join(connection.execute(sa.text(f"EXPLAIN {statement}"), parameters).scalars())


def wait_for_lock(engine: sa.Engine) -> None:
    """Until somebody waits for an advisory lock of this database."""
    query = """SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database
        WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"""
    again = Retrying(
        retry=retry_if_result(lambda found: not found), wait=wait_fixed(0.05), stop=stop_after_delay(60)
    )
    again(rows, engine, query)
