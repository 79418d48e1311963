"""Writes the sample rows; a row that is there already is left alone and makes no change event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from sql.models import Base, BusinessRule, Policy, User
from sql.seed.policies import make_policies
from sql.seed.samples import RULES, SAMPLE_POLICY, USERS

BATCH: Final = 500
"""Rows per statement: 500 rows of 19 values stay far below the protocol's 65,535 parameters."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """How many rows of one table were inserted, and how many were there already."""

    inserted: int
    present: int


def write_all(engine: sa.Engine, count: int) -> dict[str, Result]:
    """Insert users, business rules, the sample policy and `count` generated ones, in one transaction.

    Returns:
        Table name -> what happened to its rows.
    """
    with engine.begin() as connection:
        return {
            "users": write(connection, User, USERS),
            "business_rules": write(connection, BusinessRule, RULES),
            "policies": write(connection, Policy, [SAMPLE_POLICY, *make_policies(count)]),
        }


def write(connection: sa.Connection, model: type[Base], rows: Sequence[Values]) -> Result:
    """Insert those of `rows` that violate no key; every row names the same columns."""
    inserted = 0
    for start in range(0, len(rows), BATCH):
        batch = [dict(row) for row in rows[start : start + BATCH]]
        statement = insert(model).values(batch).on_conflict_do_nothing()
        inserted += connection.execute(statement).rowcount
    return Result(inserted, len(rows) - inserted)
