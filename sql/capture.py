"""What leaves the database, derived from the models: the one place that the connector and projections ask."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from sql.models import Base, Fence, Heartbeat, Signal

CONNECTOR: Final = "aegis-postgres-connector"
PUBLICATION: Final = "aegis_publication"
SLOT: Final = "aegis_slot"
MARKERS: Final = f"cdc.{Fence.__tablename__}"
CDC_TABLES = (MARKERS, *(f"cdc.{model.__tablename__}" for model in (Heartbeat, Signal)))
"""Tables of change data capture itself; in the publication, in no store."""


def captured_tables() -> list[sa.Table]:
    """Tables whose changes travel to the stores, by name."""
    tables = Base.metadata.tables.values()
    return sorted((table for table in tables if table.info.get("captured")), key=lambda table: table.name)


def says_before(table: sa.Table) -> bool:
    """Whether changes of a captured table say what the row was: REPLICA IDENTITY FULL."""
    return not table.info.get("by_key")


def full_name(table: sa.Table) -> str:
    """`schema.name`, as in publications and topics."""
    return f"{table.schema or 'public'}.{table.name}"


def published_columns(table: sa.Table) -> list[sa.Column[Any]]:
    """Columns that leave the database, in the table's order."""
    return [column for column in table.columns if not column.info.get("private")]


def private_columns() -> list[str]:
    """`schema.table.column` of every captured table's column that must not leave."""
    return [
        f"{full_name(table)}.{column.name}"
        for table in captured_tables()
        for column in table.columns
        if column.info.get("private")
    ]
