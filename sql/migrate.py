"""Brings a database to a revision of the schema."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

Passwords = Mapping[str, str]
"""Role -> password, for the roles that the migrations create."""


def _config(connection: sa.Connection | None = None, passwords: Passwords | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes.update(connection=connection, passwords=passwords or {})
    return config


def head() -> str:
    """The newest revision."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def revisions() -> list[str]:
    """All revisions, oldest first."""
    return [item.revision for item in reversed(list(ScriptDirectory.from_config(_config()).walk_revisions()))]


def current(connection: sa.Connection) -> str | None:
    """The revision that the database is at; None before the first."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: sa.Engine, passwords: Passwords, revision: str = "head") -> tuple[str | None, str | None]:
    """Migrate up; return the revisions (before, after). Nothing changes when it fails: one transaction."""
    with engine.begin() as connection:
        before = current(connection)
        command.upgrade(_config(connection, passwords), revision)
        return before, current(connection)


def downgrade(engine: sa.Engine, revision: str) -> None:
    """Migrate down to `revision`, or to nothing (`base`)."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)
