"""What the models promise change capture, and the files of SQL: no server needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

import sql.queries
from sql.capture import CDC_TABLES, captured_tables, full_name, private_columns, published_columns
from sql.migrate import Role, Roles, head, revisions
from sql.models import Base, Policy, User
from sql.positions import format_lsn
from sql.queries import QUERIES

PARAMETERS = {
    "add_ancestors": {"version"},
    "lock_import": {"table"},
    "taxonomy_lookup": {"paths", "version"},
    "taxonomy_paths": {"version"},
    "taxonomy_subtree": {"path", "version"},
    "slot": {"slot"},
    "drop_slot": {"slot"},
    "may_login": {"role"},
    "publication_tables": {"publication"},
    "replica_identity": {"table"},
    "estimate": {"table"},
    "lock_run": {"shared", "shard", "count"},
    "other_shares": {"count"},
    "lock_batch": {"batch_id"},
    "begin_batch": {"batch_id", "total"},
    "batch_counts": {"batch_id"},
    "batch_progress": {"id", "status", "completed", "failed"},
    "end_batch": {"id", "status", "completed", "failed"},
    "add_chain": {"batch", "total"},
    "end_chain": {"id", "status", "completed", "failed"},
    "add_images": {"chain", "images"},
    "add_tasks": {"chain", "images"},
    "add_text_boxes": {"boxes"},
    "expiry": {"days"},
    "expired_count": {"before"},
    "expired_responses": {"before"},
    "expired_feedback": {"before"},
    "expired_queries": {"before", "since", "limit"},
    "remove_feedback": {"ids", "limit"},
    "remove_responses": {"ids"},
    "remove_queries": {"ids"},
    "audit_begin": {"entity_type", "action", "changes", "metadata"},
    "audit_update": {"id", "changes", "metadata"},
}


def test_captured_tables_are_named_as_in_topics() -> None:
    assert [full_name(table) for table in captured_tables()] == [
        "public.business_rules",
        "public.doc_taxonomy",
        "public.documents",
        "public.policies",
        "public.taxonomy_nodes",
        "public.users",
    ]
    assert CDC_TABLES == ("cdc.fence", "cdc.heartbeat", "cdc.signal")


def test_of_users_only_department_level_and_state_leave() -> None:
    columns = [column.name for column in published_columns(sa.inspect(User).local_table)]  # type: ignore[arg-type]
    assert columns == ["id", "department", "access_level", "is_active", "created_at", "updated_at"]


def test_private_columns_are_the_raw_record_and_what_identifies_a_person() -> None:
    assert private_columns() == [
        "public.policies.raw_data",
        "public.users.email",
        "public.users.name",
        "public.users.phone",
        "public.users.address",
        "public.users.personal_info",
        "public.users.contact_info",
    ]
    assert "raw_data" in Policy.__table__.columns


@pytest.mark.parametrize("table", captured_tables(), ids=lambda table: table.name)
def test_captured_tables_keep_the_rules_of_change_capture(table: sa.Table) -> None:
    assert table.primary_key.columns
    assert not any(column.info.get("private") for column in table.primary_key.columns)
    for column in table.columns:
        assert not (column.nullable and column.server_default is not None), column.name
        assert column.computed is None, f"{column.name}: generated columns are not in the stream"
        if isinstance(column.type, ARRAY):
            assert isinstance(column.type.item_type, sa.Text), f"{column.name}: only text[] is decoded safely"


@pytest.mark.parametrize("table", Base.metadata.tables.values(), ids=lambda table: table.name)
def test_every_constraint_and_index_is_named(table: sa.Table) -> None:
    names = [str(constraint.name) for constraint in table.constraints]
    assert all(name.split("_")[0] in {"pk", "uq", "ck", "fk"} for name in names), names
    assert all(str(index.name).startswith(("ix_", "idx_")) for index in table.indexes)


def test_revisions_are_one_line_that_ends_at_the_head() -> None:
    assert revisions()[:3] == ["0001", "0002", "0003"]
    assert revisions()[-1] == head()


def test_a_role_does_not_show_its_password() -> None:
    assert "secret" not in repr(Roles(Role("a", "secret"), Role("b", "secret")))


@pytest.mark.parametrize(
    ("lsn", "text"),
    [(0, "0/0"), (0x16B3748, "0/16B3748"), (5 << 32 | 1, "5/1"), (0xAB_FFFF_FFFF, "AB/FFFFFFFF")],
)
def test_a_position_is_written_in_two_hexadecimal_halves(lsn: int, text: str) -> None:
    assert format_lsn(lsn) == text


def test_every_block_of_the_file_is_loaded_under_its_own_name() -> None:
    text = Path(sql.queries.__file__).with_name("queries.sql").read_text()
    assert text.count("-- name: ") == len(QUERIES) > 0


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_every_query_begins_with_its_sentence_and_takes_the_parameters_meant(name: str) -> None:
    sentence, *statement = QUERIES[name].splitlines()
    assert sentence.startswith("-- ")
    assert sentence.endswith(".") or statement[0].startswith("-- ")
    assert not QUERIES[name].endswith(";")
    assert set(sa.text(QUERIES[name])._bindparams) == PARAMETERS.get(name, set())
