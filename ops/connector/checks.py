"""What must hold in PostgreSQL before a connector can run; each failure names the command that helps."""

from __future__ import annotations

from collections.abc import Iterable

import httpx
import sqlalchemy as sa

from processor.errors import ConfigurationError, SourceError
from processor.settings import RegistrySettings
from sql.capture import CDC_TABLES, PUBLICATION, captured_tables, full_name
from sql.queries import QUERIES


def check_source(connection: sa.Connection, role: str) -> None:
    """Check the log's level, that the replication role may log in, and the publication's tables.

    Its right to replicate is not read from `rolreplication`: hosted servers grant it by membership. Nor is
    its password tried, which Connect alone may hold: Connect does, before it takes a configuration.

    Raises:
        ConfigurationError: with the command or setting that helps.
    """
    level = connection.execute(sa.text(QUERIES["wal_level"])).scalar_one()
    if level != "logical":
        raise ConfigurationError(
            f"PostgreSQL runs with wal_level={level}", hint="set wal_level=logical and restart PostgreSQL"
        )
    if not connection.execute(sa.text(QUERIES["may_login"]), {"role": role}).scalar_one_or_none():
        raise ConfigurationError(
            f"role {role} does not exist in PostgreSQL, or may not log in",
            hint="aegis migrate, or check POSTGRES_DEBEZIUM_USER",
        )
    rows = connection.execute(sa.text(QUERIES["publication_tables"]), {"publication": PUBLICATION})
    published = {row.table for row in rows}
    wanted = {*map(full_name, captured_tables()), *CDC_TABLES}
    if missing := sorted(wanted - published):
        raise ConfigurationError(
            f"publication {PUBLICATION} lacks {', '.join(missing)}", hint="aegis migrate"
        )


def relax_registry(settings: RegistrySettings, topics: Iterable[str]) -> None:
    """Set the compatibility of the topics' values to NONE: a stricter rule stops the task at `SET NOT NULL`.

    Only theirs: the registry may serve others, whose rule is not ours to change. The rule is kept for a
    subject that does not exist yet.

    Raises:
        SourceError: the registry does not answer, or refuses.
    """
    base = settings.url.rstrip("/")
    try:
        with httpx.Client(timeout=10) as client:
            answers = [
                client.put(f"{base}/config/{topic}-value", json={"compatibility": "NONE"}) for topic in topics
            ]
    except httpx.HTTPError as error:
        raise SourceError(
            f"schema registry at {settings.url} does not answer: {error}",
            hint="aegis stack up registry, or check SCHEMA_REGISTRY_URL",
        ) from error
    for answer in answers:
        if answer.is_error:
            raise SourceError(
                f"schema registry answered {answer.status_code} to PUT {answer.url.path}: {answer.text}",
                hint="aegis stack logs registry, or check SCHEMA_REGISTRY_URL",
            )
