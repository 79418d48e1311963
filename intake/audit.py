"""A run's entry in the audit log: begun before its first batch, saved in the transaction of each."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from psycopg.types.json import Jsonb

from sql.queries import run


def begin_entry(
    connection: sa.Connection,
    entity_type: str,
    action: str,
    changes: dict[str, Any],
    metadata: dict[str, Any],
) -> UUID:
    """Add an entry in the transaction that is open; returns its id."""
    told = _told(changes, metadata)
    entry = run(connection, "audit_begin", entity_type=entity_type, action=action, **told).scalar()
    assert isinstance(entry, UUID)
    return entry


def save_entry(
    connection: sa.Connection, entry: UUID, changes: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """Write anew what the entry tells, in the transaction that is open."""
    run(connection, "audit_update", id=entry, **_told(changes, metadata))


def _told(changes: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Jsonb]:
    return {"changes": Jsonb(changes), "metadata": Jsonb(metadata)}
