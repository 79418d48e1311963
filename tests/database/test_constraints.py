"""What the tables refuse, by the constraint's name; and the trigger that keeps `updated_at` true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from psycopg.errors import IntegrityError

from processor.settings import Settings
from sql.models import Base
from sql.models.base import (
    MAX_LIST_BYTES,
    MAX_LONG_BYTES,
    MAX_METADATA_BYTES,
    MAX_PATH_BYTES,
    MAX_URL_BYTES,
)
from tests.database import uncaptured
from tests.database.own_database import own_database
from tests.integration.path import policy

DAY = date(2024, 3, 1)
NAN = float("nan")
DOCUMENT, NODE = UUID(int=11), UUID(int=12)
VALID: dict[str, dict[str, Any]] = {
    "policies": policy("p"),
    "users": {"email": "admin@company.com", "name": "Admin", "department": "Management"},
    "business_rules": {
        "rule_id": "r",
        "name": "r",
        "category": "eligibility",
        "definition": {},
        "priority": 1,
        "applies_to_regions": [],
        "applies_to_industries": [],
        "is_active": True,
    },
    "documents": {"id": DOCUMENT, "title": "t", "content": "", "document_type": "PDF", "source": "s"},
    "taxonomy_nodes": {
        "node_id": NODE,
        "label": "창업",
        "canonical_path": ["정책", "창업"],
        "version": "2025",
        "confidence": 1.0,
    },
    "doc_taxonomy": {
        "doc_id": DOCUMENT,
        "node_id": NODE,
        "path": ["정책", "창업"],
        "confidence": 0.9,
        "hitl_required": False,
    },
}
EVERY_VALID = VALID | uncaptured.VALID
PARENTS = {"doc_taxonomy": ("documents", "taxonomy_nodes")}
BAD_LISTS: list[Any] = [["11", None], ["11", ""], [["11"], ["41"]], [["11", None], ["", "41"]]]
LONGEST = ["x" * (MAX_LIST_BYTES - 2)]
"""With its two braces just as long as a list may be."""
TOO_LONG = ["x" * (MAX_LIST_BYTES - 1)]
BAD_PATHS: list[Any] = [[], ["x"] * 51, sa.text("'[0:1]={a,b}'::text[]"), *BAD_LISTS]
LONGEST_PATH = ["x" * (MAX_PATH_BYTES - 2)]
TOO_LONG_PATH = ["x" * (MAX_PATH_BYTES - 1)]
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("policies", {"title": ""}, "ck_policies_title"),
    ("policies", {"title": " \t\r\n"}, "ck_policies_title"),
    ("policies", {"title": "\u3000"}, "ck_policies_title"),
    *[("policies", {"target_regions": bad}, "ck_policies_target_regions") for bad in BAD_LISTS],
    *[("policies", {"target_industries": bad}, "ck_policies_target_industries") for bad in BAD_LISTS],
    ("policies", {"content": "가" * 2_446_677 + "xx"}, "ck_policies_content"),
    ("policies", {"original_url": "x" * (MAX_URL_BYTES + 1)}, "ck_policies_original_url"),
    ("policies", {"target_regions": TOO_LONG}, "ck_policies_target_regions_size"),
    ("policies", {"target_industries": TOO_LONG}, "ck_policies_target_industries_size"),
    ("policies", {"funding_amount_min": -1}, "ck_policies_funding_amount_min"),
    ("policies", {"funding_amount_max": -1}, "ck_policies_funding_amount_max"),
    ("policies", {"funding_amount_min": 2, "funding_amount_max": 1}, "ck_policies_funding_amount"),
    ("policies", {"interest_rate": Decimal("100.01")}, "ck_policies_interest_rate"),
    ("policies", {"interest_rate": Decimal(101)}, "ck_policies_interest_rate"),
    ("policies", {"interest_rate": Decimal("-0.01")}, "ck_policies_interest_rate"),
    ("policies", {"interest_rate": Decimal("NaN")}, "ck_policies_interest_rate"),
    (
        "policies",
        {"application_start_date": DAY, "application_end_date": DAY - timedelta(1)},
        "ck_policies_application_dates",
    ),
    ("policies", {"status": "unknown"}, "ck_policies_status"),
    ("policies", {"status": "Active"}, "ck_policies_status"),
    ("policies", {"quality_score": 1.1}, "ck_policies_quality_score"),
    ("policies", {"quality_score": -0.1}, "ck_policies_quality_score"),
    ("policies", {"quality_score": NAN}, "ck_policies_quality_score"),
    ("users", {"access_level": 0}, "ck_users_access_level"),
    ("users", {"access_level": 4}, "ck_users_access_level"),
    *[
        ("business_rules", {f"applies_to_{name}": bad}, f"ck_business_rules_applies_to_{name}")
        for name in ("regions", "industries")
        for bad in BAD_LISTS
    ],
    ("business_rules", {"valid_from": DAY, "valid_to": DAY - timedelta(1)}, "ck_business_rules_valid_dates"),
    ("business_rules", {"definition": "x" * (MAX_LONG_BYTES - 1)}, "ck_business_rules_definition"),
    ("business_rules", {"applies_to_regions": TOO_LONG}, "ck_business_rules_applies_to_regions_size"),
    ("business_rules", {"applies_to_industries": TOO_LONG}, "ck_business_rules_applies_to_industries_size"),
    ("documents", {"content": "x" * (MAX_LONG_BYTES + 1)}, "ck_documents_content"),
    ("documents", {"document_type": "pdf"}, "ck_documents_document_type"),
    *[("documents", {"access_level": level}, "ck_documents_access_level") for level in (0, 4)],
    ("documents", {"metadata": "x" * (MAX_METADATA_BYTES - 1)}, "ck_documents_metadata"),
    *[("taxonomy_nodes", {"canonical_path": bad}, "ck_taxonomy_nodes_canonical_path") for bad in BAD_PATHS],
    ("taxonomy_nodes", {"canonical_path": TOO_LONG_PATH}, "ck_taxonomy_nodes_canonical_path_size"),
    *[("doc_taxonomy", {"path": bad}, "ck_doc_taxonomy_path") for bad in BAD_PATHS],
    ("doc_taxonomy", {"path": TOO_LONG_PATH}, "ck_doc_taxonomy_path_size"),
    *[
        (table, {"confidence": bad}, f"ck_{table}_confidence")
        for table in ("taxonomy_nodes", "doc_taxonomy")
        for bad in (-0.1, 1.2, NAN)
    ],
]
ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("policies", {"target_regions": [], "target_industries": []}),
    ("policies", {"target_regions": ["NULL", " ", "세종"]}),
    ("policies", {"title": " 가 "}),
    ("policies", {"content": "가" * 2_446_677 + "x", "original_url": "x" * MAX_URL_BYTES}),
    ("policies", {"target_regions": LONGEST, "target_industries": LONGEST}),
    ("policies", {"funding_amount_min": 0, "funding_amount_max": 0}),
    ("policies", {"funding_amount_min": None, "funding_amount_max": 2**63 - 1}),
    ("policies", {"funding_amount_min": 2**40, "funding_amount_max": None}),
    ("policies", {"interest_rate": Decimal(0)}),
    ("policies", {"interest_rate": Decimal(100)}),
    ("policies", {"application_start_date": DAY, "application_end_date": DAY}),
    ("policies", {"application_start_date": None, "application_end_date": DAY}),
    *[("policies", {"status": each}) for each in ("pending_validation", "active", "rejected", "archived")],
    *[("policies", {"quality_score": each}) for each in (0.0, 1.0)],
    *[("users", {"access_level": each}) for each in (1, 2, 3)],
    ("business_rules", {"valid_from": DAY, "valid_to": None}),
    ("business_rules", {"definition": "x" * (MAX_LONG_BYTES - 2)}),
    ("business_rules", {"applies_to_regions": ["11"], "applies_to_industries": ["G"]}),
    ("documents", {"content": "x" * MAX_LONG_BYTES, "metadata": "x" * (MAX_METADATA_BYTES - 2)}),
    ("documents", {"document_type": None, "department": None}),
    ("taxonomy_nodes", {"canonical_path": LONGEST_PATH, "confidence": 0.0}),
    ("doc_taxonomy", {"path": LONGEST_PATH, "confidence": 1.0}),
]


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[sa.Engine]:
    with own_database(settings) as made:
        yield made


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as opened:
        yield opened


def insert_parents(connection: sa.Connection, table: str) -> None:
    for parent in (PARENTS | uncaptured.PARENTS).get(table, ()):
        insert(connection, parent, **({"id": uncaptured.USER} if parent == "users" else {}))


def insert(connection: sa.Connection, table: str, **changes: Any) -> None:
    connection.execute(sa.insert(Base.metadata.tables[table]).values(EVERY_VALID[table] | changes))


def refuses(connection: sa.Connection, constraint: str, table: str, **changes: Any) -> None:
    with pytest.raises(sa.exc.IntegrityError) as caught:
        insert(connection, table, **changes)
    assert isinstance(caught.value.orig, IntegrityError)
    assert caught.value.orig.diag.constraint_name == constraint
    assert constraint in str(caught.value.orig)


@pytest.mark.parametrize(("table", "changes", "constraint"), [*REFUSED, *uncaptured.REFUSED])
def test_a_bad_value_is_refused_by_the_constraint_that_forbids_it(
    connection: sa.Connection, table: str, changes: dict[str, Any], constraint: str
) -> None:
    insert_parents(connection, table)
    refuses(connection, constraint, table, **changes)


@pytest.mark.parametrize(("table", "changes"), [*ACCEPTED, *uncaptured.ACCEPTED])
def test_a_value_at_the_edge_of_what_is_allowed_is_accepted(
    connection: sa.Connection, table: str, changes: dict[str, Any]
) -> None:
    insert_parents(connection, table)
    insert(connection, table, **changes)
    columns = [Base.metadata.tables[table].c[name] for name in changes]
    assert tuple(connection.execute(sa.select(*columns)).one()) == tuple(changes.values())


def test_every_check_of_the_database_is_provoked(connection: sa.Connection) -> None:
    names = connection.execute(
        sa.text(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        )
    )
    provoked = [*REFUSED, *uncaptured.REFUSED]
    assert set(names.scalars()) == {constraint for _, _, constraint in provoked}


@pytest.mark.parametrize(
    ("table", "again", "constraint"),
    [
        ("policies", {"source_record_id": "other"}, "pk_policies"),
        ("policies", {"policy_id": "other"}, "uq_policies_source_system_source_record_id"),
        ("users", {}, "idx_users_email"),
        ("business_rules", {}, "pk_business_rules"),
        ("documents", {}, "pk_documents"),
        ("taxonomy_nodes", {"canonical_path": ["x"]}, "pk_taxonomy_nodes"),
        ("taxonomy_nodes", {"node_id": UUID(int=1)}, "uq_taxonomy_nodes_canonical_path_version"),
        ("doc_taxonomy", {"path": ["x"]}, "pk_doc_taxonomy"),
        *uncaptured.AGAIN,
    ],
)
def test_what_must_be_unique_is_refused_the_second_time(
    connection: sa.Connection, table: str, again: dict[str, Any], constraint: str
) -> None:
    insert_parents(connection, table)
    insert(connection, table)
    refuses(connection, constraint, table, **again)


@pytest.mark.parametrize("column", ["doc_id", "node_id"])
def test_a_document_is_filed_only_where_both_are_known(connection: sa.Connection, column: str) -> None:
    insert_parents(connection, "doc_taxonomy")
    refuses(connection, f"fk_doc_taxonomy_{column}", "doc_taxonomy", **{column: UUID(int=1)})


@pytest.mark.parametrize("parent", PARENTS["doc_taxonomy"])
def test_with_a_document_or_a_node_goes_what_files_it(connection: sa.Connection, parent: str) -> None:
    insert_parents(connection, "doc_taxonomy")
    insert(connection, "doc_taxonomy")
    insert(connection, "doc_taxonomy", version="1.1.0")
    versions = "SELECT version FROM doc_taxonomy ORDER BY 1"
    assert connection.scalars(sa.text(versions)).all() == ["1.0.0", "1.1.0"]
    connection.execute(sa.text(f"DELETE FROM {parent}"))
    assert connection.scalars(sa.text(versions)).all() == []


def test_policies_without_a_record_id_of_their_source_may_share_the_source(connection: sa.Connection) -> None:
    insert(connection, "policies", policy_id="a", source_record_id=None)
    insert(connection, "policies", policy_id="b", source_record_id=None)
    assert connection.scalar(sa.text("SELECT count(*) FROM policies")) == 2


@pytest.mark.parametrize("table", sorted(EVERY_VALID))
def test_an_absent_required_value_is_refused(engine: sa.Engine, table: str) -> None:
    required = [column.name for column in Base.metadata.tables[table].columns if not column.nullable]
    for name in required:
        with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError) as caught:
            insert(connection, table, **{name: sa.null()})
        assert isinstance(caught.value.orig, IntegrityError)
        assert caught.value.orig.diag.column_name == name


def test_a_user_has_the_lowest_level_and_is_active_unless_told_otherwise(connection: sa.Connection) -> None:
    insert(connection, "users")
    row = connection.execute(sa.text("SELECT access_level, is_active, id, created_at FROM users")).one()
    assert (row.access_level, row.is_active) == (1, True)
    assert row.id is not None
    assert row.created_at is not None


@pytest.mark.parametrize(
    "table", sorted(name for name in VALID if "updated_at" in Base.metadata.tables[name].columns)
)
def test_every_update_sets_updated_at_to_its_transaction_and_keeps_created_at(
    connection: sa.Connection, table: str
) -> None:
    long_ago = datetime(2001, 2, 3, tzinfo=UTC)
    insert(connection, table, created_at=long_ago, updated_at=long_ago)
    statement = f"UPDATE {table} SET updated_at = '2002-01-01' RETURNING now(), *"
    row = connection.execute(sa.text(statement)).one()
    assert row.updated_at == row.now
    assert row.created_at == long_ago
