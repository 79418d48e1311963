"""Every rule of the tables has its words, which name the field and never a value."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from intake.commands import Table
from intake.refusals import Refusal, _of_constraint, refusal_of
from sql.models import Base

TABLES = [Base.metadata.tables[name] for name in (*Table, "taxonomy_nodes")]
WORDS = {
    "ck_business_rules_applies_to_industries": "applies_to_industries: must be a list without empty texts",
    "ck_business_rules_applies_to_industries_size": "applies_to_industries: must be at most 262144 bytes",
    "ck_business_rules_applies_to_regions": "applies_to_regions: must be a list without empty texts",
    "ck_business_rules_applies_to_regions_size": "applies_to_regions: must be at most 262144 bytes",
    "ck_business_rules_definition": "definition: must be at most 7340032 bytes",
    "ck_business_rules_valid_dates": "valid_from: must not be above valid_to",
    "ck_doc_taxonomy_confidence": "confidence: must be 0 to 1",
    "ck_doc_taxonomy_path": "path: must have 1 to 50 parts, and none that is empty",
    "ck_doc_taxonomy_path_size": "path: must be at most 2000 bytes",
    "ck_documents_access_level": "access_level: must be 1 to 3",
    "ck_documents_content": "content: must be at most 7340032 bytes",
    "ck_documents_document_type": "document_type: must be one of PDF, DOCX, TXT, MARKDOWN",
    "ck_documents_metadata": "metadata: must be at most 524288 bytes",
    "ck_policies_application_dates": "application_start_date: must not be above application_end_date",
    "ck_policies_content": "content: must be at most 7340032 bytes",
    "ck_policies_funding_amount": "funding_amount_min: must not be above funding_amount_max",
    "ck_policies_funding_amount_max": "funding_amount_max: must be at least 0",
    "ck_policies_funding_amount_min": "funding_amount_min: must be at least 0",
    "ck_policies_interest_rate": "interest_rate: must be 0 to 100",
    "ck_policies_original_url": "original_url: must be at most 65536 bytes",
    "ck_policies_quality_score": "quality_score: must be 0 to 1",
    "ck_policies_status": "status: must be one of pending_validation, active, rejected, archived",
    "ck_policies_target_industries": "target_industries: must be a list without empty texts",
    "ck_policies_target_industries_size": "target_industries: must be at most 262144 bytes",
    "ck_policies_target_regions": "target_regions: must be a list without empty texts",
    "ck_policies_target_regions_size": "target_regions: must be at most 262144 bytes",
    "ck_policies_title": "title: must not be blank",
    "ck_search_responses_response_time_ms": "response_time_ms: must be at least 0",
    "ck_taxonomy_nodes_canonical_path": "canonical_path: must have 1 to 50 parts, and none that is empty",
    "ck_taxonomy_nodes_canonical_path_size": "canonical_path: must be at most 2000 bytes",
    "ck_taxonomy_nodes_confidence": "confidence: must be 0 to 1",
    "ck_user_feedback_rating": "rating: must be 1 to 5",
    "ck_users_access_level": "access_level: must be 1 to 3",
}


def test_every_check_of_what_is_imported_has_its_words() -> None:
    checks = {
        str(constraint.name): constraint
        for table in TABLES
        for constraint in table.constraints
        if isinstance(constraint, sa.CheckConstraint)
    }
    assert {name: str(_of_constraint(check)) for name, check in checks.items()} == WORDS


def test_every_check_names_a_column_of_its_table() -> None:
    for table in TABLES:
        for constraint in table.constraints:
            if isinstance(constraint, sa.CheckConstraint):
                assert str(_of_constraint(constraint).field) in table.columns


@pytest.mark.parametrize(
    ("table", "name", "refusal"),
    [
        ("user_feedback", "fk_user_feedback_query_id", "query_id: unknown: no row of search_queries has it"),
        ("doc_taxonomy", "fk_doc_taxonomy_node_id", "node_id: unknown: no row of taxonomy_nodes has it"),
    ],
)
def test_an_unknown_reference_names_the_table_that_lacks_it(table: str, name: str, refusal: str) -> None:
    [found] = [each for each in Base.metadata.tables[table].constraints if each.name == name]
    assert str(_of_constraint(found)) == refusal


def test_a_condition_without_words_is_shown_itself() -> None:
    odd = sa.CheckConstraint("a + b < 3", name="odd")
    assert _of_constraint(odd) == Refusal("DP_2001", None, "breaks the rule a + b < 3")


def test_what_is_no_error_of_postgresql_says_its_kind_and_not_its_text() -> None:
    refusal = refusal_of(UnicodeEncodeError("utf-8", "kim@company.com", 0, 1, "x"), TABLES[0])
    assert str(refusal) == "line: cannot be sent to PostgreSQL (UnicodeEncodeError)"
