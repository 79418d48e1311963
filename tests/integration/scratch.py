"""Databases and roles of a test's own, in the cluster of the running stack; removed at its end."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from processor.settings import Settings
from sql.migrate import Role, Roles

AWKWARD = "it's a \\'\"%s :x ${y} 비밀"
"""A password with everything that quoting can get wrong."""


def engine_as(settings: Settings, database: str, role: Role | None = None) -> sa.Engine:
    """An engine without a pool, as the owner or as `role`."""
    url = settings.postgres.url(db=database)
    if role is not None:
        url = url.set(username=role.name, password=role.password)
    return sa.create_engine(url, poolclass=sa.NullPool)


patiently = Retrying(
    retry=retry_if_exception_type(sa.exc.ProgrammingError),
    wait=wait_fixed(0.5),
    stop=stop_after_delay(30),
    reraise=True,
)
"""The owner may not end autovacuum's worker in a database: it ends by itself."""


def _drop(owner: sa.Engine, name: str) -> None:
    with owner.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def scratch_database(settings: Settings) -> Iterator[sa.Engine]:
    """An empty database."""
    name = f"scratch_{uuid.uuid4().hex[:12]}"
    owner = engine_as(settings, settings.postgres.db).execution_options(isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield engine_as(settings, name)
    finally:
        patiently(_drop, owner, name)


@contextmanager
def scratch_roles(settings: Settings) -> Iterator[Roles]:
    """Names that no role has; roles made of them are dropped. Enter it before the databases that use them."""
    suffix = uuid.uuid4().hex[:12]
    roles = Roles(Role(f"debezium-{suffix}", AWKWARD), Role(f"processor-{suffix}", AWKWARD + "2"))
    try:
        yield roles
    finally:
        with engine_as(settings, settings.postgres.db).begin() as connection:
            for role in (roles.debezium, roles.processor):
                connection.execute(sa.text(f'DROP ROLE IF EXISTS "{role.name}"'))
