"""What must hold in PostgreSQL before a connector can run; each failure names the command that helps."""

from __future__ import annotations

import httpx
import sqlalchemy as sa

from ops.connector.definition import PUBLICATION
from processor.errors import ConfigurationError, SourceError
from processor.settings import RegistrySettings
from sql.capture import CDC_TABLES, captured_tables, full_name
from sql.queries import QUERIES


def check_source(connection: sa.Connection) -> None:
    """Check the log's level and the publication's tables.

    Raises:
        ConfigurationError: with the command or setting that helps.
    """
    level = connection.execute(sa.text(QUERIES["wal_level"])).scalar_one()
    if level != "logical":
        raise ConfigurationError(
            f"PostgreSQL runs with wal_level={level}", hint="set wal_level=logical and restart PostgreSQL"
        )
    rows = connection.execute(sa.text(QUERIES["publication_tables"]), {"publication": PUBLICATION})
    published = {row.table for row in rows}
    wanted = {*map(full_name, captured_tables()), *CDC_TABLES}
    if missing := sorted(wanted - published):
        raise ConfigurationError(
            f"publication {PUBLICATION} lacks {', '.join(missing)}", hint="aegis migrate"
        )


def relax_registry(settings: RegistrySettings) -> None:
    """Set the registry's compatibility to NONE: a stricter rule stops the task at `SET NOT NULL`.

    Raises:
        SourceError: the registry does not answer, or refuses.
    """
    try:
        response = httpx.put(f"{settings.url.rstrip('/')}/config", json={"compatibility": "NONE"}, timeout=10)
    except httpx.HTTPError as error:
        raise SourceError(
            f"schema registry at {settings.url} does not answer: {error}",
            hint="aegis stack up registry, or check SCHEMA_REGISTRY_URL",
        ) from error
    if response.is_error:
        raise SourceError(f"schema registry answered {response.status_code}: {response.text}")
