"""Rows to begin with: the same for everyone, as untidy as those of real sources."""

from __future__ import annotations

import sqlalchemy as sa

from sql.models import Base
from sql.seed.others import business_rules, users
from sql.seed.policies import generate
from sql.seed.write import SeedResult, write

__all__ = ["SeedResult", "write_all"]


def write_all(engine: sa.Engine, count: int) -> dict[str, SeedResult]:
    """Insert `count` policies, the users and the business rules; returns what happened, by table.

    Raises:
        sqlalchemy.exc.ProgrammingError: the schema is not migrated.
    """
    seeds = {"policies": generate(count), "users": users(), "business_rules": business_rules()}
    results: dict[str, SeedResult] = {}
    for name, rows in seeds.items():
        with engine.begin() as connection:
            results[name] = write(connection, Base.metadata.tables[name], rows)
    return results
