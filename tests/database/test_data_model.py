"""docs/data-model.md says what the database holds: one made of the document alone is the migrated one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from sql.capture import captured_tables, private_columns
from sql.migrate import upgrade
from tests.database.test_migrations import COLUMNS, CONSTRAINTS, INDEXES
from tests.integration.conftest import ROOT
from tests.integration.scratch import scratch_database, scratch_roles

HEADINGS: Final = ("## Captured tables\n", "## Tables that are not captured\n")
RULE: Final = re.compile(
    r"`(\w+)`(?:: (?:`([^`]+)`|(list|path))|(?: to (\w+))?( cascade)?( gin)?( unique)?)$"
)
NAMED: Final = re.compile(r"^- (list|path): `(.+)`$", re.MULTILINE)
"""A condition that has a name, `{}` for the column."""
OF_SEVERAL: Final = re.compile(r"^- `(\w+)`: `(.+)`$", re.MULTILINE)
"""A constraint or an index of several columns."""
PRIVATE: Final = ", **private**"
DOCUMENT: Final = (ROOT / "docs/data-model.md").read_text()
Table = dict[str, list[str]]
"""Column -> type, required, default, rules; as they are written."""


def parts() -> dict[str, str]:
    """What the document says of a table, each after those that it refers to."""
    sections = [DOCUMENT.split(heading)[1].split("\n## ")[0] for heading in HEADINGS]
    return {part.split()[0]: part for section in sections for part in section.split("\n### ")[1:]}


def documented() -> dict[str, Table]:
    return {name: columns_of(part) for name, part in parts().items()}


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
        clauses = [
            kind.removesuffix(PRIVATE),
            "NOT NULL" if required else "",
            f"DEFAULT {default}" if default else "",
        ]
        body.append(" ".join([name, *clauses]).replace("`", ""))
    yield f"CREATE TABLE {table} ({', '.join(body)})"
    for name, (*_, rules) in columns.items():
        for rule in filter(None, rules.split("; ")):
            yield statement_of(table, name, rule)
    for name, definition in OF_SEVERAL.findall(parts()[table]):
        index, of, expression = definition.partition("INDEX ")
        yield (
            f"CREATE INDEX {name} ON {table} {expression}"
            if of and not index
            else f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
        )


def statement_of(table: str, column: str, rule: str) -> str:
    found = RULE.match(rule)
    assert found, f"{table}.{column}: {rule!r} is not a rule"
    name, condition, named, parent, cascade, gin, unique = found.groups()
    if named:
        condition = dict(NAMED.findall(DOCUMENT))[named].replace("{}", column)
    made = {
        "pk": f"PRIMARY KEY ({column})",
        "uq": f"UNIQUE ({column})",
        "ck": f"CHECK ({condition})",
        "fk": f"FOREIGN KEY ({column}) REFERENCES {parent}{' ON DELETE CASCADE' if cascade else ''}",
    }
    if (kind := name.split("_")[0]) in made:
        return f"ALTER TABLE {table} ADD CONSTRAINT {name} {made[kind]}"
    return f"CREATE{unique or ''} INDEX {name} ON {table}{' USING gin' if gin else ''} ({column})"


@pytest.fixture(scope="module")
def migrated(settings: Settings) -> Iterator[sa.Engine]:
    with scratch_roles(settings) as roles, scratch_database(settings) as engine:
        upgrade(engine, roles)
        yield engine


@pytest.fixture(scope="module")
def described(settings: Settings) -> Iterator[sa.Engine]:
    """Made of the document."""
    with scratch_database(settings) as engine:
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA cdc"))
            for table, columns in documented().items():
                for statement in statements(table, columns):
                    connection.exec_driver_sql(statement.replace("%", "%%"))
        yield engine


def test_the_document_has_every_table(migrated: sa.Engine) -> None:
    assert set(documented()) == set(sa.inspect(migrated).get_table_names()) - {"alembic_version"}
    captured, _ = (DOCUMENT.split(heading)[1].split("\n## ")[0] for heading in HEADINGS)
    names = {part.split()[0] for part in captured.split("\n### ")[1:]}
    assert names == {table.name for table in captured_tables()}


def test_the_document_says_what_never_leaves_the_database() -> None:
    private = [
        f"public.{table}.{column}"
        for table, columns in documented().items()
        for column, (kind, *_) in columns.items()
        if kind.endswith(PRIVATE)
    ]
    assert sorted(private) == sorted(private_columns())


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
                connection.exec_driver_sql(statement.replace("%", "%%"))
        different = [
            query
            for query in (COLUMNS, CONSTRAINTS, INDEXES)
            if of_feedback(migrated, query) != of_feedback(other, query)
        ]
    assert different == ([differs] if differs else [])


def of_feedback(engine: sa.Engine, query: str) -> list[tuple[Any, ...]]:
    return [row for row in facts(engine, query) if "user_feedback" in " ".join(row)]
