"""The seed generator: the same rows for everyone, as varied as those of real sources."""

from __future__ import annotations

import unicodedata
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from processor.tables.policies import POLICIES
from sql.models import BusinessRule, Policy, User
from sql.models.policies import STATUSES
from sql.seed.announcement import day, won
from sql.seed.catalog import FUNDING_TYPES, INDUSTRIES, NATIONAL, REGIONAL, REGIONS
from sql.seed.library import FILED, TREE, documents
from sql.seed.others import business_rules, users
from sql.seed.phrases import THEMES
from sql.seed.policies import generate

Row = dict[str, Any]
ROWS = generate()
OPTIONAL = sorted(column.name for column in Policy.__table__.columns if column.nullable)


def test_two_runs_give_the_same_rows() -> None:
    assert generate() == ROWS
    assert len(ROWS) == 400


def test_another_seed_gives_other_rows_behind_the_sample() -> None:
    other = generate(20, seed=7)
    assert other[0] == ROWS[0]
    assert all(a["content"] != b["content"] for a, b in zip(other[1:], ROWS[1:20], strict=True))


@pytest.mark.parametrize("count", [0, 1, 2, 399])
def test_a_longer_run_begins_with_the_shorter_one(count: int) -> None:
    assert generate(count) == ROWS[:count]


def test_the_first_row_is_the_sample_policy() -> None:
    expected = {
        "policy_id": "POL-2025-001",
        "title": "청년 창업 특례 보증",
        "issuing_organization": "기술보증기금",
        "target_regions": ["11", "26", "27"],
        "target_industries": ["J", "M", "N"],
        "funding_amount_min": 10_000_000,
        "funding_amount_max": 500_000_000,
        "interest_rate": Decimal("2.5"),
        "application_start_date": date(2025, 1, 1),
        "application_end_date": date(2025, 12, 31),
        "status": "active",
        "is_active": True,
    }
    assert {key: ROWS[0][key] for key in expected} == expected


def test_rows_fill_every_column_but_the_databases_own() -> None:
    columns = {column.name for column in Policy.__table__.columns} - {"created_at", "updated_at"}
    assert all(set(row) == columns for row in ROWS)


def test_keys_are_unique() -> None:
    records = [(row["source_system"], row["source_record_id"]) for row in ROWS if row["source_record_id"]]
    assert [row["policy_id"] for row in ROWS[:3]] == ["POL-2025-001", "POL-2025-002", "POL-2025-003"]
    assert len({row["policy_id"] for row in ROWS}) == len(ROWS)
    assert len(set(records)) == len(records)


@pytest.mark.parametrize("table", [Policy.__table__, User.__table__, BusinessRule.__table__], ids=str)
def test_texts_fit_their_columns(table: sa.FromClause) -> None:
    rows = {"policies": generate(2_000), "users": users(), "business_rules": business_rules()}[str(table)]
    limits = {c.name: c.type.length for c in table.columns if isinstance(c.type, sa.String) and c.type.length}
    too_long = [
        (row, name) for row in rows for name, limit in limits.items() if row[name] and len(row[name]) > limit
    ]
    assert limits
    assert too_long == []


def test_rows_satisfy_the_constraints_of_the_table() -> None:
    for row in generate(2_000):
        least, most = row["funding_amount_min"], row["funding_amount_max"]
        start, end = row["application_start_date"], row["application_end_date"]
        assert row["title"].strip()
        assert "\0" not in row["title"] + row["content"]
        assert all(row["target_regions"]) and set(row["target_regions"]) <= set(REGIONS)
        assert all(row["target_industries"]) and set(row["target_industries"]) <= set(INDUSTRIES)
        assert least is None or least >= 0
        assert most is None or most >= (least or 0)
        assert start is None or end is None or start <= end
        assert row["interest_rate"] is None or 0 <= row["interest_rate"] <= 100
        assert row["status"] in STATUSES
        assert 0 <= row["quality_score"] <= 1


def test_regions_organizations_and_funding_types_vary() -> None:
    assert {code for row in ROWS for code in row["target_regions"]} == set(REGIONS)
    assert len(REGIONS) == 17
    assert len({row["issuing_organization"] for row in ROWS}) >= 35
    assert {row["funding_type"] for row in ROWS} == {*FUNDING_TYPES, None}


def test_a_regional_organization_serves_its_own_region() -> None:
    home = {organization.name: organization.region for organization in REGIONAL}
    wrong = [
        row["policy_id"]
        for row in ROWS
        if row["issuing_organization"] in home
        and len(row["target_regions"]) < len(REGIONS)
        and row["target_regions"] != [home[row["issuing_organization"]]]
    ]
    assert wrong == []


def test_texts_reach_from_one_line_to_a_long_announcement() -> None:
    lengths = [len(row["content"]) for row in generate(2_000)]
    assert min(lengths) >= 20
    assert max(lengths) <= 4_000
    assert min(len(row["content"]) for row in ROWS) < 60
    assert max(len(row["content"]) for row in ROWS) > 3_000


def test_no_two_texts_are_the_same_and_none_has_an_unfilled_field() -> None:
    contents = [row["content"] for row in generate(2_000)]
    assert len(set(contents)) == len(contents)
    assert [text for text in contents if "None" in text or "{" in text.replace("{조건}", "")] == []


def test_amounts_go_beyond_32_bits() -> None:
    assert max(row["funding_amount_max"] or 0 for row in ROWS) > 2**31
    assert max(row["funding_amount_min"] or 0 for row in ROWS) > 2**31


@pytest.mark.parametrize("column", OPTIONAL)
def test_each_optional_value_is_present_in_some_rows_and_absent_in_others(column: str) -> None:
    absent = sum(row[column] is None for row in ROWS)
    assert 10 <= absent <= 390


def test_amounts_and_dates_may_be_given_on_one_side_only() -> None:
    for left, right in (
        ("funding_amount_min", "funding_amount_max"),
        ("application_start_date", "application_end_date"),
    ):
        sides = {(row[left] is None, row[right] is None) for row in ROWS}
        assert sides == {(False, False), (False, True), (True, False), (True, True)}


def test_about_one_row_in_eight_is_hidden_from_readers_in_every_way_there_is() -> None:
    hidden = [row for row in ROWS if not POLICIES.predicate(row)]
    assert 0.08 <= len(hidden) / len(ROWS) <= 0.20
    assert {(row["status"], row["is_active"]) for row in hidden} == {
        ("active", False),
        ("archived", False),
        ("rejected", False),
        ("pending_validation", True),
    }


def test_quality_agrees_with_the_status() -> None:
    for row in generate(2_000):
        score = row["quality_score"]
        assert {
            "active": 0.7 <= score <= 1,
            "archived": 0.7 <= score <= 1,
            "rejected": 0 < score < 0.7,
            "pending_validation": score == 0,
        }[row["status"]], row["policy_id"]


def test_text_and_columns_say_the_same() -> None:
    long = [row for row in ROWS[1:] if "신청기간:" in row["content"] and len(row["content"]) > 1_000]
    assert len(long) > 100
    for row in long:
        assert row["issuing_organization"] in row["content"]
        for column in ("funding_amount_min", "funding_amount_max"):
            assert row[column] is None or won(row[column]) in row["content"]
        for column in ("application_start_date", "application_end_date"):
            assert row[column] is None or day(row[column]) in row["content"]


def test_addresses_lead_nowhere() -> None:
    urls = [row["original_url"] for row in ROWS if row["original_url"]]
    hosts = {url.split("/")[2] for url in urls}
    assert all(host.endswith((".example.org", ".example.com")) for host in hosts)


def test_the_data_is_not_too_clean() -> None:
    titles = [row["title"] for row in ROWS]
    contents = [row["content"] for row in ROWS]
    assert any(ord(letter) > 0xFFFF for text in titles for letter in text)
    assert any(unicodedata.normalize("NFC", text) != text for text in titles)
    assert any("'" in text and '"' in text for text in titles)
    assert any("\\" in text for text in contents)
    assert any("\r\n" in text for text in contents)
    assert any(len(text) > 300 for text in titles)
    assert any(len(row["target_industries"]) == len(INDUSTRIES) for row in ROWS)
    assert any(row["target_regions"] == [] for row in ROWS)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (500_000, "50만원"),
        (100_000_000, "1억원"),
        (350_000_000, "3억 5,000만원"),
        (50_000_000_000, "500억원"),
    ],
)
def test_amounts_are_written_as_koreans_write_them(amount: int, text: str) -> None:
    assert won(amount) == text


def test_organizations_name_only_themes_and_funding_types_that_exist() -> None:
    for organization in (*NATIONAL, *REGIONAL):
        assert set(organization.focus) <= {theme.name for theme in THEMES}
        assert set(organization.funding) <= set(FUNDING_TYPES)
    focused = {name for organization in NATIONAL for name in organization.focus}
    assert {theme.name for theme in THEMES if theme.special} <= focused


def test_users_are_one_of_each_level() -> None:
    assert [(row["email"], row["department"], row["access_level"]) for row in users()] == [
        ("admin@company.com", "Management", 3),
        ("engineer@company.com", "Engineering", 2),
        ("intern@company.com", "Engineering", 1),
    ]
    assert users() == users()
    assert len({row["id"] for row in users()}) == 3


def test_business_rules_have_unique_ids_known_places_and_ordered_dates() -> None:
    rules = business_rules()
    assert len({row["rule_id"] for row in rules}) == len(rules)
    for row in rules:
        assert set(row["applies_to_regions"]) <= set(REGIONS)
        assert set(row["applies_to_industries"]) <= set(INDUSTRIES)
        assert row["valid_from"] is None or row["valid_from"] <= row["valid_to"]


def test_documents_are_those_that_the_data_model_names() -> None:
    columns = ("title", "document_type", "access_level", "department", "metadata")
    assert [tuple(row[name] for name in columns) for row in documents()] == [
        ("Company Handbook", "PDF", 1, None, {"page_count": 50, "version": "2024.1"}),
        (
            "Engineering Best Practices",
            "MARKDOWN",
            2,
            "Engineering",
            {"tags": ["engineering", "best-practices"]},
        ),
        ("Confidential Strategy", "DOCX", 3, "Management", {"confidential": True}),
    ]
    assert documents() == documents()
    ids = {row["id"] for row in documents()} | {row["id"] for row in users()}
    assert len(ids) == 6


def test_the_tree_has_no_gaps_two_versions_of_a_node_and_a_place_for_each_document() -> None:
    for paths in TREE.values():
        assert all(len(path) == 1 or path[:-1] in paths for path in paths)
    first, second = TREE.values()
    assert set(first) & set(second)
    assert FILED.keys() == {row["title"] for row in documents()}
    assert {path for filed in FILED.values() for path, _ in filed} <= set(first)
