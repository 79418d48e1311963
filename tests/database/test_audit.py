"""The audit log that triggers keep of policies and business rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from processor.settings import Settings
from sql.migrate import Role, Roles, upgrade
from sql.models import AuditLog, BusinessRule, Policy
from tests.database.test_constraints import VALID
from tests.integration.path import policy
from tests.integration.scratch import engine_as, scratch_database, scratch_roles

Entry = tuple[str, str | None, str, dict[str, Any] | None]


@pytest.fixture(scope="module")
def roles(settings: Settings) -> Iterator[Roles]:
    with scratch_roles(settings) as made:
        yield made


@pytest.fixture(scope="module")
def engine(settings: Settings, roles: Roles) -> Iterator[sa.Engine]:
    with scratch_database(settings) as made:
        upgrade(made, roles)
        yield made


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Nothing of what a test does is committed."""
    with engine.connect() as opened:
        yield opened


def entries(connection: sa.Connection) -> list[Entry]:
    columns = (AuditLog.entity_type, AuditLog.entity_id, AuditLog.action, AuditLog.changes)
    return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(AuditLog.timestamp))]


def add(connection: sa.Connection, *keys: str, **changes: Any) -> None:
    """Policies whose entries are not what the test is about."""
    connection.execute(sa.insert(Policy).values([policy(key, **changes) for key in keys]))
    connection.execute(sa.delete(AuditLog))


def test_an_update_says_only_what_changed(connection: sa.Connection) -> None:
    add(connection, "p", title="전", funding_amount_min=None, interest_rate=None)
    connection.execute(sa.text("UPDATE policies SET title = '후', funding_amount_min = 5, content = content"))
    assert entries(connection) == [
        (
            "policies",
            "p",
            "update",
            {"title": {"old": "전", "new": "후"}, "funding_amount_min": {"old": None, "new": 5}},
        )
    ]


def test_an_insert_says_what_the_row_holds_and_a_delete_what_it_held(connection: sa.Connection) -> None:
    connection.execute(sa.insert(BusinessRule).values(VALID["business_rules"] | {"definition": {"a": None}}))
    connection.execute(sa.text("DELETE FROM business_rules"))
    (*inserted, new), (*deleted, old) = entries(connection)
    assert inserted == ["business_rules", "r", "insert"]
    assert deleted == ["business_rules", "r", "delete"]
    assert new is not None
    assert old is not None
    assert new.pop("created_at").keys() == {"new"}
    assert old.pop("created_at").keys() == {"old"}
    values = {name: change["new"] for name, change in new.items()}
    assert values == VALID["business_rules"] | {"definition": {"a": None}}
    assert {name: change["old"] for name, change in old.items()} == values


def test_an_update_that_changes_nothing_leaves_no_entry(connection: sa.Connection) -> None:
    add(connection, "p", "q")
    connection.execute(sa.text("UPDATE policies SET title = title, updated_at = '2001-01-01'"))
    connection.execute(sa.text("DELETE FROM policies WHERE policy_id = 'absent'"))
    assert entries(connection) == []


def test_values_of_private_columns_are_not_in_the_log(connection: sa.Connection) -> None:
    secret = {"owner": "홍길동-secret"}
    connection.execute(sa.insert(Policy).values(policy("p", raw_data=secret)))
    connection.execute(sa.text("""UPDATE policies SET raw_data = '{"other": "홍길동-secret-2"}'"""))
    connection.execute(sa.text("DELETE FROM policies"))
    found = entries(connection)
    assert [(action, (changes or {})["raw_data"]) for *_, action, changes in found] == [
        (action, {"private": True}) for action in ("insert", "update", "delete")
    ]
    whole = connection.scalar(sa.text("SELECT string_agg(a::text, '') FROM audit_logs a"))
    assert "secret" not in str(whole)


def test_a_long_value_is_cut_and_still_told_from_another(connection: sa.Connection) -> None:
    add(connection, "p", content="가" * 1_000_000)
    connection.execute(sa.text("UPDATE policies SET content = content || '나', target_regions = '{11}'"))
    [(*_, changes)] = entries(connection)
    assert changes is not None
    old, new = changes["content"]["old"], changes["content"]["new"]
    assert old.startswith("가" * 200 + "… (1000000 characters, md5 ")
    assert new.startswith("가" * 200 + "… (1000001 characters, md5 ")
    assert old[-34:] != new[-34:]
    assert changes["target_regions"]["new"] == ["11"]


def test_a_changed_key_is_a_delete_and_an_insert_as_in_the_stream(connection: sa.Connection) -> None:
    add(connection, "p", "q")
    connection.execute(sa.text("UPDATE policies SET policy_id = 'r' WHERE policy_id = 'p'"))
    found = {key: (action, (changes or {})["policy_id"]) for _, key, action, changes in entries(connection)}
    assert found == {"p": ("delete", {"old": "p"}), "r": ("insert", {"new": "r"})}


def test_keys_that_change_places_are_told_by_what_each_key_holds_now(connection: sa.Connection) -> None:
    add(connection, "p", "q", title="one title")
    connection.execute(sa.text("ALTER TABLE policies DROP CONSTRAINT pk_policies"))
    connection.execute(
        sa.text("UPDATE policies SET policy_id = CASE policy_id WHEN 'p' THEN 'q' ELSE 'p' END")
    )
    assert sorted(entries(connection)) == [
        ("policies", "p", "update", {"source_record_id": {"old": "p", "new": "q"}}),
        ("policies", "q", "update", {"source_record_id": {"old": "q", "new": "p"}}),
    ]


def test_an_upsert_is_told_by_what_it_did_with_each_row(connection: sa.Connection) -> None:
    add(connection, "p")
    statement = sa.dialects.postgresql.insert(Policy).values(
        [policy("p", title="changed"), policy("q", source_record_id="q")]
    )
    connection.execute(statement.on_conflict_do_update(index_elements=["policy_id"], set_={"title": "new"}))
    assert {(key, action) for _, key, action, _ in entries(connection)} == {("p", "update"), ("q", "insert")}


def test_a_copy_leaves_an_entry_for_each_row(connection: sa.Connection) -> None:
    add(connection, *(f"p{n}" for n in range(50)), source_record_id=None)
    connection.execute(sa.text("CREATE TEMP TABLE aside AS SELECT * FROM policies"))
    connection.execute(sa.text("DELETE FROM policies"))
    connection.execute(sa.delete(AuditLog))
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor() as cursor:
        with cursor.copy("COPY aside TO STDOUT") as out:
            data = b"".join(bytes(block) for block in out)
        with cursor.copy("COPY policies FROM STDIN") as into:
            into.write(data)
    found = entries(connection)
    assert {(key, action) for _, key, action, _ in found} == {(f"p{n}", "insert") for n in range(50)}
    assert len(found) == 50


@pytest.mark.parametrize("table", ["policies", "business_rules"])
def test_a_truncate_is_one_entry_about_the_table(connection: sa.Connection, table: str) -> None:
    connection.execute(sa.text(f"TRUNCATE {table}"))
    assert entries(connection) == [(table, None, "truncate", None)]


def test_changes_of_one_transaction_stay_in_their_order(connection: sa.Connection) -> None:
    add(connection, "p")
    for n in range(20):
        connection.execute(sa.text("UPDATE policies SET title = :title"), {"title": f"title {n}"})
    assert [(changes or {})["title"]["new"] for *_, changes in entries(connection)] == [
        f"title {n}" for n in range(20)
    ]


def test_what_is_rolled_back_leaves_no_entry(connection: sa.Connection) -> None:
    with connection.begin_nested() as savepoint:
        connection.execute(sa.insert(Policy).values(policy("p")))
        assert len(entries(connection)) == 1
        savepoint.rollback()
    assert entries(connection) == []


def actors(connection: sa.Connection) -> list[tuple[str, Any]]:
    query = sa.select(AuditLog.actor, AuditLog.metadata_).order_by(AuditLog.timestamp)
    return [tuple(row) for row in connection.execute(query)]


def test_the_actor_is_the_role_or_who_the_setting_names_beside_the_role(
    settings: Settings, connection: sa.Connection
) -> None:
    owner = settings.postgres.user
    named = "심사자 kim" + "x" * 300
    connection.execute(sa.text("TRUNCATE policies"))
    connection.execute(sa.text("SELECT set_config('aegis.actor', :name, true)"), {"name": named})
    connection.execute(sa.text("TRUNCATE policies"))
    connection.execute(sa.text("SELECT set_config('aegis.actor', '', true)"))
    connection.execute(sa.text("TRUNCATE policies"))
    assert actors(connection) == [
        (owner, {"role": owner}),
        (named[:255], {"role": owner}),
        (owner, {"role": owner}),
    ]


def test_who_may_change_policies_leaves_entries_and_cannot_touch_them(
    settings: Settings, engine: sa.Engine, roles: Roles
) -> None:
    """The processor's role stands for an application that got the right to write."""
    name = roles.processor.name
    application = engine_as(settings, str(engine.url.database), Role(name, roles.processor.password))
    with engine.begin() as connection:
        connection.execute(sa.text(f'GRANT INSERT, SELECT, DELETE ON policies TO "{name}"'))
    try:
        with application.begin() as connection:
            connection.execute(sa.text("CREATE TEMP TABLE audit_logs (LIKE policies)"))
            connection.execute(sa.insert(Policy).values(policy("p")))
        for statement in ("DELETE FROM public.audit_logs", "SELECT FROM public.audit_logs"):
            with application.connect() as connection, pytest.raises(sa.exc.ProgrammingError, match="denied"):
                connection.execute(sa.text(statement))
        with engine.connect() as connection:
            assert actors(connection) == [(name, {"role": name})]
            assert [entry[:3] for entry in entries(connection)] == [("policies", "p", "insert")]
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text(f'REVOKE INSERT, DELETE ON policies FROM "{name}"'))
            connection.execute(sa.delete(Policy))
            connection.execute(sa.delete(AuditLog))
