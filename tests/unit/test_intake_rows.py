"""Lines of a file of rows: what fits its columns becomes a row, what does not is named by its field."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from intake.commands import Table
from intake.lines import Line
from intake.refusals import Refusal
from intake.rows import Row, RowReader, keys, table_of

ID = "00000000-0000-4000-8000-000000000001"
USER = {"email": "kim@company.com", "name": "김서연", "department": "Engineering"}
DOCUMENT: dict[str, Any] = {"title": "a", "content": "b", "source": "c", "metadata": {"x": [1.5, None]}}


def line(**values: Any) -> Line:
    raw = json.dumps(values, ensure_ascii=False).encode()
    return Line(1, raw, len(raw))


def read(table: str, **values: Any) -> Row | Refusal:
    return RowReader(table_of(table))(line(**values))


def test_values_have_the_types_of_their_columns() -> None:
    row = read(
        "user_feedback", id=ID, query_id=ID, user_id=ID, rating=5, timestamp="2025-01-01T09:00:00+09:00"
    )
    assert isinstance(row, Row)
    assert row.values["id"] == UUID(ID)
    assert row.values["timestamp"].isoformat() == "2025-01-01T09:00:00+09:00"
    assert row.made == frozenset()


def test_a_policy_waits_for_validation_unless_its_line_says_otherwise() -> None:
    row = read("policies", policy_id="P")
    assert isinstance(row, Row)
    assert row.values == {
        "policy_id": "P",
        "status": "pending_validation",
        "is_active": True,
        "quality_score": 0.0,
    }
    assert row.made == {"status", "is_active", "quality_score"}
    given = read("policies", policy_id="P", status="active")
    assert isinstance(given, Row)
    assert given.values["status"] == "active"


def test_null_is_as_good_as_not_given() -> None:
    with_null, without = read("documents", **DOCUMENT, department=None), read("documents", **DOCUMENT)
    assert isinstance(with_null, Row) and isinstance(without, Row)
    assert with_null.values == without.values
    assert "department" not in with_null.values


def test_without_an_id_the_same_row_has_the_same_one() -> None:
    one, same, other = (
        read("documents", **values)
        for values in (DOCUMENT, dict(reversed(DOCUMENT.items())), DOCUMENT | {"title": "z"})
    )
    assert isinstance(one, Row) and isinstance(same, Row) and isinstance(other, Row)
    assert one.values["id"] == same.values["id"] != other.values["id"]


def test_an_id_tells_nothing_of_a_person() -> None:
    one, same = read("users", **USER), read("users", **USER)
    assert isinstance(one, Row) and isinstance(same, Row)
    assert one.values["id"] != same.values["id"]


@pytest.mark.parametrize(
    ("table", "values", "refusal"),
    [
        ("user_feedback", {"rating": "5"}, "rating: must be a whole number of 32 bits"),
        ("user_feedback", {"rating": 5.5}, "rating: must be a whole number of 32 bits"),
        ("user_feedback", {"rating": 2**31}, "rating: must be a whole number of 32 bits"),
        ("user_feedback", {"query_id": "x"}, "query_id: must be a UUID"),
        ("policies", {"funding_amount_min": 2**63}, "funding_amount_min: must be a whole number of 64 bits"),
        (
            "policies",
            {"interest_rate": 2.555},
            "interest_rate: must be a number of 5 digits, 2 of them decimals",
        ),
        ("policies", {"quality_score": "high"}, "quality_score: must be a finite number"),
        ("policies", {"is_active": "yes"}, "is_active: must be true or false"),
        ("policies", {"target_regions": "11"}, "target_regions: must be a list of texts"),
        ("policies", {"target_regions": ["11", None]}, "target_regions: must be a list of texts"),
        ("policies", {"target_regions": ["1\0"]}, "target_regions: must not hold a NUL character"),
        (
            "policies",
            {"application_end_date": "2025-02-30"},
            "application_end_date: must be a date as 2025-12-31",
        ),
        (
            "search_queries",
            {"timestamp": "2025-01-01T00:00:00"},
            "timestamp: must be a time with its zone as 2025-12-31T09:00:00+09:00",
        ),
        *(
            ("search_queries", {"timestamp": time}, "timestamp: must be of the years 1 to 9999 in UTC")
            for time in ("9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+09:00")
        ),
        ("users", {"email": "x" * 256}, "email: must be text of at most 255 characters"),
        ("users", {"name": "김\0"}, "name: must not hold a NUL character"),
        ("documents", {"content": 1}, "content: must be text"),
        ("documents", {"metadata": {"a": {"b\0": 1}}}, "metadata: must not hold a NUL character"),
        ("documents", {"metadata": [float("nan")]}, "metadata: must hold finite numbers only"),
        ("documents", {"metadata": [float("inf")]}, "metadata: must hold finite numbers only"),
        ("documents", {}, "line: holds no value"),
    ],
)
def test_what_does_not_fit_its_column_is_refused_by_the_rule(
    table: str, values: dict[str, Any], refusal: str
) -> None:
    found = read(table, **values)
    assert isinstance(found, Refusal)
    assert (found.code, str(found)) == ("DP_2001", refusal)


@pytest.mark.parametrize("field", ["hong@x.kr", "a\0b", "personal_info"])
def test_a_field_that_is_no_column_or_an_encrypted_one_is_refused_without_its_name(field: str) -> None:
    found = read("users", **{field: "x"})
    assert isinstance(found, Refusal)
    assert found.code == "DP_2001"
    assert str(found).startswith(
        "line: a field cannot be imported: the columns of users are id, email, name, "
    )
    assert found.field is None
    assert field not in str(found)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "not JSON: EOF while parsing an object at column 1"),
        (b"[]", "not a JSON object"),
        (b'"x"', "not a JSON object"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b'{"name": "\\ud800"}', "not JSON: "),
        (b'{"metadata": ' + b"[" * 1_000 + b"]" * 1_000 + b"}", "not JSON: recursion limit exceeded"),
        (b'{"metadata": ' + b"9" * 5_000 + b"}", "not JSON: number out of range"),
    ],
)
def test_what_is_no_json_object_is_another_fault(raw: bytes, reason: str) -> None:
    found = RowReader(table_of("documents"))(Line(1, raw, len(raw)))
    assert isinstance(found, Refusal)
    assert (found.code, found.field) == ("DP_1004", None)
    assert found.reason.startswith(reason)


@pytest.mark.parametrize("table", Table)
def test_no_reason_holds_a_value(table: str) -> None:
    for column in table_of(table).columns:
        for value in ("planted-value", ["planted-value"], {"planted-value": 1}):
            found = read(table, **{column.name: value})
            assert not isinstance(found, Refusal) or "planted" not in str(found)


@pytest.mark.parametrize("table", ["users", "search_queries", "search_responses", "user_feedback"])
def test_of_a_bad_line_that_tells_of_a_person_nothing_is_kept(table: str) -> None:
    assert RowReader(table_of(table)).kept(line(**USER, access_level=4)) == b""


@pytest.mark.parametrize("table", ["business_rules", "doc_taxonomy", "documents", "policies"])
def test_of_a_bad_line_of_other_tables_every_byte_is_kept(table: str) -> None:
    assert RowReader(table_of(table)).kept(Line(1, b"\xff{", 2)) == b"\xff{"


def test_keys_are_what_tells_rows_apart() -> None:
    assert keys(table_of("users")) == [("id",), ("email",)]
    assert keys(table_of("policies")) == [("policy_id",), ("source_system", "source_record_id")]
    assert keys(table_of("search_responses")) == [("id",), ("query_id",)]
    assert keys(table_of("doc_taxonomy")) == [("doc_id", "node_id", "version")]
