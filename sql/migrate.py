"""Brings a database to a revision of the schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from sql.queries import QUERIES


@dataclass(frozen=True)
class Role:
    """A role that the migrations create; without a password it keeps the one it has."""

    name: str
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Roles:
    """The two that read: Debezium with the log, the processor without."""

    debezium: Role = Role("debezium_user")
    processor: Role = Role("aegis_processor")


def _config(connection: sa.Connection | None = None, roles: Roles | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes.update(connection=connection, roles=roles)
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


def upgrade(engine: sa.Engine, roles: Roles, revision: str = "head") -> tuple[str | None, str | None]:
    """Migrate up; return the revisions (before, after). Nothing changes when it fails: one transaction.

    Raises:
        ValueError: there is no such revision, or the database is beyond it or at one unknown here.
    """
    with _alone(engine) as connection:
        before = current(connection)
        known = revisions()
        target = known[-1] if revision == "head" else revision
        if target not in known:
            raise ValueError(f"there is no revision {target}, only {', '.join(known)}")
        if before is not None and before not in known:
            raise ValueError(f"the database is at {before}, which this version does not know")
        if before is not None and known.index(before) > known.index(target):
            raise ValueError(f"the database is at {before} already, beyond {target}")
        command.upgrade(_config(connection, roles), target)
        return before, current(connection)


def downgrade(engine: sa.Engine, roles: Roles, revision: str) -> None:
    """Migrate down to `revision`, or to nothing (`base`). What the tables held is lost."""
    with _alone(engine) as connection:
        command.downgrade(_config(connection, roles), revision)


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction; a second migration of this database waits for its end, then finds nothing to do."""
    with engine.begin() as connection:
        connection.execute(sa.text(QUERIES["lock_migrations"]))
        yield connection
