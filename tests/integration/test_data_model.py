"""docs/data-model.md says what the database holds: one made of the document alone is the migrated one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from sql.capture import captured_tables
from sql.migrate import upgrade
from tests.integration.conftest import ROOT
from tests.integration.scratch import scratch_database, scratch_roles
from tests.integration.test_migrations import COLUMNS, CONSTRAINTS, INDEXES

HEADING: Final = "## Tables that are not captured\n"
RULE: Final = re.compile(r"`(\w+)`(?:: `([^`]+)`|(?: to (\w+))?( cascade)?( unique)?)$")
Table = dict[str, list[str]]
"""Column -> type, required, default, rules; as they are written."""


def documented() -> dict[str, Table]:
    section = (ROOT / "docs/data-model.md").read_text().split(HEADING)[1].split("\n## ")[0]
    return {part.split()[0]: columns_of(part) for part in section.split("\n### ")[1:]}


def columns_of(part: str) -> Table:
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells[0] == ["Column", "Type", "Required", "Default", "Keys, indexes, checks"]
    return {name: rest for name, *rest in cells[2:]}


def statements(table: str, columns: Table) -> Iterator[str]:
    """SQL that makes a table as it is documented."""
    body = []
    for name, (kind, required, default, _) in columns.items():
        assert required in {"yes", ""}
        clauses = [kind, "NOT NULL" if required else "", f"DEFAULT {default}" if default else ""]
        body.append(" ".join([name, *clauses]).replace("`", ""))
    yield f"CREATE TABLE {table} ({', '.join(body)})"
    for name, (*_, rules) in columns.items():
        for rule in filter(None, rules.split("; ")):
            yield statement_of(table, name, rule)


def statement_of(table: str, column: str, rule: str) -> str:
    found = RULE.match(rule)
    assert found, f"{table}.{column}: {rule!r} is not a rule"
    name, condition, parent, cascade, unique = found.groups()
    made = {
        "pk": f"PRIMARY KEY ({column})",
        "uq": f"UNIQUE ({column})",
        "ck": f"CHECK ({condition})",
        "fk": f"FOREIGN KEY ({column}) REFERENCES {parent}{' ON DELETE CASCADE' if cascade else ''}",
    }
    if (kind := name.split("_")[0]) in made:
        return f"ALTER TABLE {table} ADD CONSTRAINT {name} {made[kind]}"
    return f"CREATE{unique or ''} INDEX {name} ON {table} ({column})"


@pytest.fixture(scope="module")
def migrated(settings: Settings) -> Iterator[sa.Engine]:
    with scratch_roles(settings) as roles, scratch_database(settings) as engine:
        upgrade(engine, roles)
        yield engine


@pytest.fixture(scope="module")
def described(settings: Settings) -> Iterator[sa.Engine]:
    """Made of the document; of captured tables only the key that others refer to."""
    with scratch_database(settings) as engine:
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA cdc; CREATE TABLE users (id uuid PRIMARY KEY)"))
            for table, columns in documented().items():
                for statement in statements(table, columns):
                    connection.exec_driver_sql(statement)
        yield engine


def test_the_document_has_every_table_that_is_not_captured(migrated: sa.Engine) -> None:
    there = set(sa.inspect(migrated).get_table_names()) - {"alembic_version"}
    assert set(documented()) == there - {table.name for table in captured_tables()}


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES], ids=["columns", "constraints", "indexes"])
def test_the_document_and_the_database_agree_in_every_column_constraint_and_index(
    migrated: sa.Engine, described: sa.Engine, query: str
) -> None:
    found, told = facts(migrated, query), facts(described, query)
    assert len(told) >= len(documented())
    assert found == told


def facts(engine: sa.Engine, query: str) -> list[tuple[Any, ...]]:
    """Rows of a catalogue query about documented tables."""
    about = re.compile(rf"\b({'|'.join(documented())})\b")
    with engine.connect() as connection:
        rows = [tuple(map(str, row)) for row in connection.execute(sa.text(query))]
    # a table's own name is in the first column, or in the definition of its index
    return sorted(row for row in rows if about.fullmatch(row[0]) or about.search(row[-1].split(" USING ")[0]))


RATING: Final = "`ck_user_feedback_rating`: `rating >= 1 AND rating <= 5`"
INDEX: Final = "`idx_user_feedback_user_id`"


@pytest.mark.parametrize(
    ("column", "cells", "differs"),
    [
        ("rating", ["integer", "yes", "", RATING], None),
        ("rating", ["bigint", "yes", "", RATING], COLUMNS),
        ("comment", ["text", "yes", "", ""], COLUMNS),
        ("timestamp", ["timestamptz", "yes", "", ""], COLUMNS),
        ("rating", ["integer", "yes", "", RATING.replace("5", "6")], CONSTRAINTS),
        ("user_id", ["uuid", "yes", "", f"`fk_user_feedback_user_id` to users; {INDEX}"], CONSTRAINTS),
        ("user_id", ["uuid", "yes", "", "`fk_user_feedback_user_id` to users cascade"], INDEXES),
    ],
    ids=["nothing", "type", "nullability", "default", "check", "cascade", "index"],
)
def test_a_wrong_word_in_the_document_would_be_noticed(
    settings: Settings, migrated: sa.Engine, column: str, cells: list[str], differs: str | None
) -> None:
    with scratch_database(settings) as other:
        with other.begin() as connection:
            for parent in ("users", "search_queries"):
                connection.execute(sa.text(f"CREATE TABLE {parent} (id uuid PRIMARY KEY)"))
            connection.execute(sa.text("CREATE SCHEMA cdc"))
            for statement in statements("user_feedback", documented()["user_feedback"] | {column: cells}):
                connection.exec_driver_sql(statement)
        different = [
            query
            for query in (COLUMNS, CONSTRAINTS, INDEXES)
            if of_feedback(migrated, query) != of_feedback(other, query)
        ]
    assert different == ([differs] if differs else [])


def of_feedback(engine: sa.Engine, query: str) -> list[tuple[Any, ...]]:
    return [row for row in facts(engine, query) if "user_feedback" in " ".join(row)]
