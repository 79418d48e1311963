"""Rows to begin with: the same for everyone, as untidy as those of real sources."""

from __future__ import annotations

import sqlalchemy as sa

from sql.models import Base
from sql.sealed import Sealer, seal_row, sealed_columns
from sql.seed.others import business_rules, users
from sql.seed.policies import generate
from sql.seed.write import Row, SeedResult, write

__all__ = ["SeedResult", "write_all"]


def write_all(engine: sa.Engine, count: int, sealer: Sealer | None = None) -> dict[str, SeedResult]:
    """Insert `count` policies, the users and the business rules; returns what happened, by table.

    Without `sealer`, what is to be encrypted is left out.

    Raises:
        sqlalchemy.exc.ProgrammingError: the schema is not migrated.
    """
    seeds = {"policies": generate(count), "users": users(), "business_rules": business_rules()}
    results: dict[str, SeedResult] = {}
    for name, rows in seeds.items():
        table = Base.metadata.tables[name]
        with engine.begin() as connection:
            results[name] = write(connection, table, [_sealed(table, row, sealer) for row in rows])
    return results


def _sealed(table: sa.Table, row: Row, sealer: Sealer | None) -> Row:
    if sealer is None:
        return {**row, **{column.name: None for column in sealed_columns(table)}}
    return seal_row(table, row, sealer)
