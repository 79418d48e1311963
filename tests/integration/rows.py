"""Rows of every table, by name: what they hold, and what changes in them."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from processor.keys import key_text
from sql.models import BusinessRule, DocTaxonomy, Document, TaxonomyNode, User
from sql.models.documents import DOCUMENT_TYPES
from tests.integration.path import POLICIES, policy

REGIONS = ["11", "26", "27", "41", "48"]
INDUSTRIES = ["C", "G", "I", "J"]
RENAMED = "~"
"""What a row's name ends with after a change of its key."""
TEXTS = 40
"""Texts that new rows share: to embed each of some thousand rows takes a minute."""
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Written:
    """A table as tests write it.

    Attributes:
        row: a row of that name, as it is inserted; where it refers to others, to those of the same name.
        change: what a change sets that needs no vector.
        mine: condition of the rows whose name begins so.
        wrong: a field, and a value of it that no row is made with.
    """

    table: sa.Table
    row: Callable[[str], Row]
    change: Callable[[random.Random], Row]
    mine: Callable[[str], sa.ColumnElement[bool]]
    wrong: tuple[str, Any]

    @property
    def refers(self) -> bool:
        """Whether a row needs rows of other tables."""
        return bool(self.table.foreign_keys)

    @property
    def key(self) -> tuple[sa.Column[Any], ...]:
        """The key's columns."""
        return tuple(self.table.primary_key.columns)

    def key_of(self, name: str) -> Row:
        """The key of the row of that name, by column."""
        row = self.row(name)
        return {column.name: row[column.name] for column in self.key}

    def key_text(self, name: str) -> str:
        """The same as stores and commands have it."""
        values = {column: str(value) for column, value in self.key_of(name).items()}
        return key_text(tuple(values), values)

    def where(self, name: str) -> sa.ColumnElement[bool]:
        """Condition of the row of that name."""
        return sa.and_(*(self.table.c[column] == value for column, value in self.key_of(name).items()))

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


def _id(kind: str, name: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}/{name}")


def _document(name: str) -> Row:
    dice = random.Random(name)  # noqa: S311
    return {
        "id": _id("document", name),
        "title": f"문서 {dice.randrange(TEXTS)}",
        "content": "신청은 온라인으로 합니다.",
        "document_type": dice.choice(DOCUMENT_TYPES),
        "source": name,
        "access_level": dice.randint(1, 3),
        "department": dice.choice(["기획", None]),
        "metadata": {"쪽": dice.randrange(100)},
    }


def _node(name: str) -> Row:
    return {
        "node_id": _id("node", name),
        "label": name,
        "canonical_path": ["시험", name],
        "version": "시험",
        "confidence": 0.5,
    }


def _filing(name: str) -> Row:
    """Its version is what changes with its key."""
    plain = name.removesuffix(RENAMED)
    return {
        "doc_id": _id("document", plain),
        "node_id": _id("node", plain),
        "version": "1.0.0" if name == plain else "2.0.0",
        "path": ["시험", plain],
        "confidence": 0.5,
        "hitl_required": False,
    }


def _change_policy(dice: random.Random) -> Row:
    return {"quality_score": round(dice.random(), 6), "target_regions": dice.sample(REGIONS, 2)}


def _change_rule(dice: random.Random) -> Row:
    return {"priority": dice.randrange(1_000), "applies_to_regions": dice.sample(REGIONS, 2)}


def _change_user(dice: random.Random) -> Row:
    return {"access_level": dice.randint(1, 3), "department": dice.choice(["기획", "운영", "심사"])}


def _change_document(dice: random.Random) -> Row:
    return {"access_level": dice.randint(1, 3), "metadata": {"쪽": dice.randrange(1_000)}}


def _change_node(dice: random.Random) -> Row:
    return {"confidence": round(dice.random(), 6)}


def _change_filing(dice: random.Random) -> Row:
    return {"confidence": round(dice.random(), 6), "path": ["시험", dice.choice(REGIONS)]}


RULES: sa.Table = BusinessRule.__table__  # type: ignore[assignment]
USERS: sa.Table = User.__table__  # type: ignore[assignment]
DOCUMENTS: sa.Table = Document.__table__  # type: ignore[assignment]
NODES: sa.Table = TaxonomyNode.__table__  # type: ignore[assignment]
FILINGS: sa.Table = DocTaxonomy.__table__  # type: ignore[assignment]


def _files(prefix: str) -> sa.ColumnElement[bool]:
    return FILINGS.c.node_id.in_(sa.select(NODES.c.node_id).where(NODES.c.label.startswith(prefix)))


WRITTEN: dict[str, Written] = {
    written.table.name: written
    for written in (
        Written(POLICIES, _policy, _change_policy, POLICIES.c.policy_id.startswith, ("title", "남의 제목")),
        Written(RULES, _rule, _change_rule, RULES.c.rule_id.startswith, ("name", "남의 규칙")),
        Written(USERS, _user, _change_user, USERS.c.email.startswith, ("access_level", 3)),
        Written(
            DOCUMENTS, _document, _change_document, DOCUMENTS.c.source.startswith, ("title", "남의 문서")
        ),
        Written(NODES, _node, _change_node, NODES.c.label.startswith, ("label", "남의 마디")),
        Written(FILINGS, _filing, _change_filing, _files, ("confidence", 0.123)),
    )
}
"""Each after those that it refers to."""
