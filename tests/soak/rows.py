"""The rows that a soak writes: of every table, with keys of their own."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sql.models import BusinessRule, User
from tests.integration.path import POLICIES, policy

REGIONS = ["11", "26", "27", "41", "48"]
INDUSTRIES = ["C", "G", "I", "J"]
TEXTS = 40
"""Texts that new rows share: to embed each of some thousand rows takes a minute."""
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Written:
    """A table as the soak writes it.

    Attributes:
        row: a row of that name, as it is inserted.
        change: what a change sets that needs no vector.
        flips: whether readers see only active rows.
        mine: condition of the rows whose name begins so.
    """

    table: sa.Table
    row: Callable[[str], Row]
    change: Callable[[random.Random], Row]
    flips: bool
    mine: Callable[[str], sa.ColumnElement[bool]]

    @property
    def key(self) -> sa.Column[Any]:
        """The key's column."""
        (column,) = self.table.primary_key.columns
        return column

    def key_of(self, name: str) -> Any:
        """The key of the row of that name."""
        return self.row(name)[self.key.name]

    def copy(self, connection: sa.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """COPY: one change for each row, all of one position in the log."""
        rows = list(rows)
        columns = ", ".join(rows[0])
        if not connection.in_transaction():  # else SQLAlchemy does not know that there is one to end
            connection.begin()
        cursor = connection.connection.driver_connection.cursor()  # type: ignore[union-attr]
        with cursor.copy(f"COPY {self.table.name} ({columns}) FROM STDIN") as copying:
            for row in rows:
                copying.write_row([json.dumps(v) if isinstance(v, dict) else v for v in row.values()])


def _policy(name: str) -> Row:
    dice = random.Random(name)  # noqa: S311
    return policy(
        name,
        title=f"정책 {dice.randrange(TEXTS)}",
        content="운전자금을 융자합니다.",
        target_regions=dice.sample(REGIONS, 2),
        target_industries=dice.sample(INDUSTRIES, 2),
        quality_score=round(dice.random(), 6),
        source_system="soak",
    )


def _rule(name: str) -> Row:
    dice = random.Random(name)  # noqa: S311
    return {
        "rule_id": name,
        "name": f"규칙 {name}",
        "category": "자격",
        "definition": {"상한": dice.randrange(100)},
        "priority": dice.randrange(100),
        "applies_to_regions": dice.sample(REGIONS, 2),
        "applies_to_industries": dice.sample(INDUSTRIES, 1),
        "is_active": True,
    }


def _user(name: str) -> Row:
    return {
        "id": uuid.uuid5(uuid.NAMESPACE_OID, name),
        "email": f"{name}@example.org",
        "name": "시험",
        "department": random.Random(name).choice(["기획", "운영", "심사"]),  # noqa: S311
        "access_level": 1,
        "is_active": True,
    }


def _change_policy(dice: random.Random) -> Row:
    return {"quality_score": round(dice.random(), 6), "target_regions": dice.sample(REGIONS, 2)}


def _change_rule(dice: random.Random) -> Row:
    return {"priority": dice.randrange(1_000), "applies_to_regions": dice.sample(REGIONS, 2)}


def _change_user(dice: random.Random) -> Row:
    return {"access_level": dice.randint(1, 3), "department": dice.choice(["기획", "운영", "심사"])}


RULES: sa.Table = BusinessRule.__table__  # type: ignore[assignment]
USERS: sa.Table = User.__table__  # type: ignore[assignment]
WRITTEN: dict[str, Written] = {
    written.table.name: written
    for written in (
        Written(POLICIES, _policy, _change_policy, True, POLICIES.c.policy_id.startswith),
        Written(RULES, _rule, _change_rule, True, RULES.c.rule_id.startswith),
        Written(USERS, _user, _change_user, False, USERS.c.email.startswith),
    )
}
