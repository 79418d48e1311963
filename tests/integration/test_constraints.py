"""What the tables refuse, by the constraint's name; and the trigger that keeps `updated_at` true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from psycopg.errors import IntegrityError

from processor.settings import Settings
from sql.migrate import upgrade
from sql.models import Base
from sql.models.base import MAX_LIST_BYTES, MAX_LONG_BYTES, MAX_URL_BYTES
from tests.integration import uncaptured
from tests.integration.path import policy
from tests.integration.scratch import scratch_database, scratch_roles

DAY = date(2024, 3, 1)
NAN = float("nan")
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
}
BAD_LISTS: list[Any] = [["11", None], ["11", ""], [["11"], ["41"]], [["11", None], ["", "41"]]]
LONGEST = ["x" * (MAX_LIST_BYTES - 2)]
"""With its two braces just as long as a list may be."""
TOO_LONG = ["x" * (MAX_LIST_BYTES - 1)]
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
]


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[sa.Engine]:
    with scratch_roles(settings) as roles, scratch_database(settings) as made:
        upgrade(made, roles)
        yield made


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.connect() as opened:
        yield opened


def insert(connection: sa.Connection, table: str, **changes: Any) -> None:
    connection.execute(sa.insert(Base.metadata.tables[table]).values(VALID[table] | changes))


def refuses(connection: sa.Connection, constraint: str, table: str, **changes: Any) -> None:
    with pytest.raises(sa.exc.IntegrityError) as caught:
        insert(connection, table, **changes)
    assert isinstance(caught.value.orig, IntegrityError)
    assert caught.value.orig.diag.constraint_name == constraint


@pytest.mark.parametrize(("table", "changes", "constraint"), REFUSED)
def test_a_bad_value_is_refused_by_the_constraint_that_forbids_it(
    connection: sa.Connection, table: str, changes: dict[str, Any], constraint: str
) -> None:
    refuses(connection, constraint, table, **changes)


@pytest.mark.parametrize(("table", "changes"), ACCEPTED)
def test_a_value_at_the_edge_of_what_is_allowed_is_accepted(
    connection: sa.Connection, table: str, changes: dict[str, Any]
) -> None:
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
    ],
)
def test_what_must_be_unique_is_refused_the_second_time(
    connection: sa.Connection, table: str, again: dict[str, Any], constraint: str
) -> None:
    insert(connection, table)
    refuses(connection, constraint, table, **again)


def test_policies_without_a_record_id_of_their_source_may_share_the_source(connection: sa.Connection) -> None:
    insert(connection, "policies", policy_id="a", source_record_id=None)
    insert(connection, "policies", policy_id="b", source_record_id=None)
    assert connection.scalar(sa.text("SELECT count(*) FROM policies")) == 2


@pytest.mark.parametrize("table", sorted(VALID))
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


@pytest.mark.parametrize("table", sorted(VALID))
def test_every_update_sets_updated_at_to_its_transaction_and_keeps_created_at(
    connection: sa.Connection, table: str
) -> None:
    long_ago = datetime(2001, 2, 3, tzinfo=UTC)
    insert(connection, table, created_at=long_ago, updated_at=long_ago)
    statement = f"UPDATE {table} SET is_active = is_active, updated_at = '2002-01-01' RETURNING now(), *"
    row = connection.execute(sa.text(statement)).one()
    assert row.updated_at == row.now
    assert row.created_at == long_ago
