"""Migrations on the real PostgreSQL: up, down, and equal to the models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from processor.settings import Settings
from sql.capture import CDC_TABLES, captured_tables, full_name, published_columns, says_before
from sql.migrate import Roles, current, downgrade, head, revisions, upgrade
from sql.models import Base
from sql.queries import QUERIES
from tests.database import test_constraints, uncaptured
from tests.integration.scratch import scratch_database, scratch_roles

COLUMNS = """
    SELECT attrelid::regclass::text AS "table", attnum, attname, format_type(atttypid, atttypmod),
           attcollation::regcollation::text, attnotnull, attidentity, pg_get_expr(adbin, adrelid) AS "default"
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped AND relname <> 'alembic_version'
      AND relnamespace IN ('public'::regnamespace, 'cdc'::regnamespace, to_regnamespace('ops'))
"""
CONSTRAINTS = """
    SELECT conrelid::regclass::text AS "table", conname, pg_get_constraintdef(oid), convalidated
    FROM pg_constraint
    WHERE connamespace IN ('public'::regnamespace, 'cdc'::regnamespace, to_regnamespace('ops'))
      AND conrelid <> coalesce(to_regclass('alembic_version'), 0)
"""
INDEXES = """
    SELECT schemaname, indexname, indexdef FROM pg_indexes
    WHERE schemaname IN ('public', 'cdc', 'ops') AND tablename <> 'alembic_version'
"""
EVERYTHING = """
    SELECT relnamespace::regnamespace::text, relname FROM pg_class
    WHERE relnamespace IN ('public'::regnamespace, to_regnamespace('cdc'), to_regnamespace('ops'))
      AND relname !~ '^alembic_version'
    UNION ALL SELECT 'function', proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'publication', pubname FROM pg_publication
    UNION ALL SELECT 'schema', nspname FROM pg_namespace WHERE nspname !~ '^pg_'
"""


def rows(engine: sa.Engine, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return sorted(tuple(row) for row in connection.execute(sa.text(query), parameters))


@pytest.fixture
def roles(settings: Settings) -> Iterator[Roles]:
    with scratch_roles(settings) as made:
        yield made


@pytest.fixture
def empty(settings: Settings, roles: Roles) -> Iterator[sa.Engine]:
    with scratch_database(settings) as engine:
        yield engine


@pytest.fixture
def migrated(empty: sa.Engine, roles: Roles) -> sa.Engine:
    upgrade(empty, roles)
    return empty


@pytest.mark.parametrize("revision", revisions())
def test_every_revision_goes_down_to_nothing_and_up_again(
    empty: sa.Engine, roles: Roles, revision: str
) -> None:
    nothing = rows(empty, EVERYTHING)
    assert upgrade(empty, roles, revision) == (None, revision)
    first = rows(empty, EVERYTHING)
    assert len(first) > len(nothing)

    downgrade(empty, roles, "base")
    assert rows(empty, EVERYTHING) == nothing

    assert upgrade(empty, roles, revision) == (None, revision)
    assert rows(empty, EVERYTHING) == first
    assert upgrade(empty, roles) == (revision, head())


def test_each_step_down_leaves_what_the_revision_below_made(empty: sa.Engine, roles: Roles) -> None:
    made = {}
    for revision in revisions():
        upgrade(empty, roles, revision)
        made[revision] = rows(empty, EVERYTHING), rows(empty, "SELECT oid, relreplident FROM pg_class")
    for revision in reversed(revisions()[:-1]):
        downgrade(empty, roles, revision)
        assert rows(empty, EVERYTHING) == made[revision][0]


ROWS = {
    **test_constraints.VALID,
    "users": {**test_constraints.VALID["users"], "id": uncaptured.USER},
    **uncaptured.VALID,
}
"""A row of every table in schema public, each after those it refers to."""


def fill(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    """A row into every table that there is and that has none; return what all tables hold."""
    metadata = sa.MetaData()
    with engine.begin() as connection:
        metadata.reflect(connection)
        for name in (name for name in ROWS if name in metadata.tables):
            table = metadata.tables[name]
            if not connection.execute(sa.select(table)).all():
                connection.execute(sa.insert(table).values(ROWS[name]))
    return contents(engine, {name: table for name, table in metadata.tables.items() if name in ROWS})


def contents(engine: sa.Engine, tables: dict[str, sa.Table]) -> dict[str, list[dict[str, Any]]]:
    with engine.connect() as connection:
        return {
            name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            for name, table in tables.items()
        }


def columns_then(engine: sa.Engine, before: dict[str, list[dict[str, Any]]]) -> dict[str, sa.Table]:
    """Tables of the database with those columns only that `before` has."""
    return {name: sa.table(name, *map(sa.column, rows[0])) for name, rows in before.items()}  # type: ignore[misc]


@pytest.mark.parametrize("revision", revisions()[1:])
def test_an_upgrade_keeps_the_rows_that_are_there(empty: sa.Engine, roles: Roles, revision: str) -> None:
    upgrade(empty, roles, revision)
    before = fill(empty)
    assert {"policies", "users", "business_rules"} <= set(before)

    upgrade(empty, roles)
    assert contents(empty, columns_then(empty, before)) == before
    assert set(fill(empty)) == set(ROWS)


def test_downgrades_keep_the_rows_of_the_tables_that_stay(empty: sa.Engine, roles: Roles) -> None:
    upgrade(empty, roles)
    full = fill(empty)
    assert set(full) == set(ROWS)
    for revision in reversed(revisions()[1:-1]):
        downgrade(empty, roles, revision)
        with empty.connect() as connection:
            there = sa.inspect(connection).get_table_names()
        left = {name: rows for name, rows in full.items() if name in there}
        assert contents(empty, columns_then(empty, left)) == left
    assert set(left) == {"policies", "users", "business_rules"}


def test_alembic_finds_no_difference_between_models_and_database(migrated: sa.Engine) -> None:
    def ours(item: sa.schema.SchemaItem, name: str | None, kind: str, *_: object) -> bool:
        # Alembic compares an expression with PostgreSQL's spelling of it; the next test compares the two
        return (kind, name) not in {("table", "alembic_version"), ("index", "ix_doc_taxonomy_key")}

    options = {
        "include_schemas": True,
        "include_object": ours,
        "compare_type": True,
        "compare_server_default": True,
    }
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.parametrize("query", [COLUMNS, CONSTRAINTS, INDEXES], ids=["columns", "constraints", "indexes"])
def test_the_migrated_database_is_the_one_that_the_models_would_make(
    settings: Settings, migrated: sa.Engine, query: str
) -> None:
    with scratch_database(settings) as modelled:
        with modelled.begin() as connection:
            connection.execute(sa.text("CREATE SCHEMA cdc; CREATE SCHEMA ops"))
            Base.metadata.create_all(connection)
        found = [tuple(map(str, row)) for row in rows_unsorted(migrated, query)]
        assert sorted(found) == sorted(tuple(map(str, row)) for row in rows_unsorted(modelled, query))
        assert len(found) > len(Base.metadata.tables)


def rows_unsorted(engine: sa.Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(sa.text(query)))


def test_no_captured_column_is_nullable_and_has_a_default(migrated: sa.Engine) -> None:
    captured = {full_name(table).removeprefix("public.") for table in captured_tables()} | set(CDC_TABLES)
    found = rows_unsorted(migrated, COLUMNS)
    assert captured <= {row.table for row in found}
    assert [
        f"{row.table}.{row.attname}"
        for row in found
        if row.table in captured and not row.attnotnull and row.default is not None
    ] == []


def test_the_publication_holds_the_tables_and_columns_that_the_models_name(migrated: sa.Engine) -> None:
    whole = {full_name(table): [column.name for column in table.columns] for table in all_tables()}
    # a column list cannot be combined with FULL: there the connector leaves the private columns out
    lists = {
        full_name(table): [column.name for column in published_columns(table)]
        for table in captured_tables()
        if identity(migrated, table) == "d"
    }
    wanted = {name: whole[name] for name in (*map(full_name, captured_tables()), *CDC_TABLES)} | lists
    found = rows(migrated, QUERIES["publication_tables"], publication="aegis_publication")
    assert dict(found) == wanted
    assert lists == {
        "public.users": ["id", "department", "access_level", "is_active", "created_at", "updated_at"]
    }


def test_the_publication_carries_every_kind_of_change(migrated: sa.Engine) -> None:
    kinds = "SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication"
    assert rows(migrated, kinds) == [(False, True, True, True, True)]


def test_replica_identities_are_full_where_stores_need_the_row_before(migrated: sa.Engine) -> None:
    found = {full_name(table): identity(migrated, table) for table in captured_tables()}
    assert {name for name, kind in found.items() if kind == "d"} == {"public.users"}
    assert found == {full_name(table): "f" if says_before(table) else "d" for table in captured_tables()}


def all_tables() -> list[sa.Table]:
    return list(Base.metadata.tables.values())


def identity(engine: sa.Engine, table: sa.Table) -> str:
    with engine.connect() as connection:
        statement = sa.text(QUERIES["replica_identity"])
        return str(connection.execute(statement, {"table": full_name(table)}).scalar_one())


def test_a_failed_upgrade_changes_nothing(empty: sa.Engine, roles: Roles) -> None:
    with empty.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA cdc; CREATE SCHEMA ops"))
    before = rows(empty, EVERYTHING)
    with pytest.raises(sa.exc.ProgrammingError, match="already exists"):
        upgrade(empty, roles)
    assert rows(empty, EVERYTHING) == before
    with empty.connect() as connection:
        assert current(connection) is None


@pytest.mark.parametrize(
    ("revision", "reason"), [("9999", "no revision 9999"), ("0001", f"at {head()} already, beyond 0001")]
)
def test_an_impossible_target_is_refused_with_the_reason(
    migrated: sa.Engine, roles: Roles, revision: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        upgrade(migrated, roles, revision)


def test_a_database_of_a_newer_version_is_left_alone(migrated: sa.Engine, roles: Roles) -> None:
    with migrated.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ValueError, match="at 9999, which this version does not know"):
        upgrade(migrated, roles)
