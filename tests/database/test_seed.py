"""Seeding a real database: everything arrives unchanged, a second time nothing is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from intake.seed import write_all
from processor.settings import Settings
from sql.models import Base
from sql.sealed import Sealer, open_row
from sql.seed.library import documents, taxonomy_nodes
from sql.seed.others import business_rules, users
from sql.seed.policies import generate
from tests.database.own_database import own_database, rows
from tests.integration.conftest import aegis
from tests.integration.scratch import scratch_database

SEALER = Sealer({"test": bytes(32)}, "test")
ROW_VERSIONS = """
    SELECT xmin::text, ctid::text, 'policies' AS t FROM policies
    UNION ALL SELECT xmin::text, ctid::text, 'users' FROM users
    UNION ALL SELECT xmin::text, ctid::text, 'rules' FROM business_rules
    UNION ALL SELECT xmin::text, ctid::text, 'documents' FROM documents
    UNION ALL SELECT xmin::text, ctid::text, 'nodes' FROM taxonomy_nodes
    UNION ALL SELECT xmin::text, ctid::text, 'links' FROM doc_taxonomy ORDER BY 3, 2"""


@pytest.fixture
def migrated(settings: Settings) -> Iterator[sa.Engine]:
    with own_database(settings) as engine:
        yield engine


def test_what_is_generated_is_what_the_database_holds(migrated: sa.Engine) -> None:
    write_all(migrated, 400, SEALER)
    wanted = {
        "policies": generate(400),
        "users": users(),
        "business_rules": business_rules(),
        "documents": documents(),
    }
    for name, made in wanted.items():
        table = Base.metadata.tables[name]
        [key] = table.primary_key.columns
        with migrated.connect() as connection:
            query = sa.select(*(table.c[column] for column in made[0]))
            read = connection.execute(query).mappings().all()
        found = {row[key.name]: open_row(table, row, SEALER) for row in read}
        assert found == {row[key.name]: row for row in made}


def test_documents_are_filed_at_the_newest_nodes_and_somebody_looks_at_what_is_uncertain(
    migrated: sa.Engine,
) -> None:
    write_all(migrated, 1)
    nodes = "SELECT canonical_path, version, label FROM taxonomy_nodes"
    wanted = [(row["canonical_path"], row["version"], row["label"]) for row in taxonomy_nodes()]
    assert sorted(rows(migrated, nodes)) == sorted(wanted)
    filed = """SELECT title, access_level, path, n.version, l.version, l.confidence, hitl_required
        FROM doc_taxonomy l JOIN documents d ON d.id = doc_id JOIN taxonomy_nodes n USING (node_id)
        ORDER BY d.access_level, l.confidence"""
    assert rows(migrated, filed) == [
        ("Company Handbook", 1, ["사내 문서", "인사"], "1.0.0", "1.0.0", 0.98, False),
        ("Engineering Best Practices", 2, ["정책", "연구·개발"], "1.0.0", "1.0.0", 0.55, True),
        ("Engineering Best Practices", 2, ["사내 문서", "기술"], "1.1.0", "1.0.0", 0.95, False),
        ("Confidential Strategy", 3, ["사내 문서", "경영"], "1.0.0", "1.0.0", 0.9, False),
    ]


def test_without_a_key_what_is_to_be_encrypted_is_left_out(migrated: sa.Engine) -> None:
    assert write_all(migrated, 1)["users"].inserted == len(users())
    assert rows(migrated, "SELECT DISTINCT personal_info, contact_info FROM users") == [(None, None)]


def test_absent_json_is_null_and_not_the_json_value_null(migrated: sa.Engine) -> None:
    write_all(migrated, 400)
    absent = sum(row["raw_data"] is None for row in generate(400))
    query = "SELECT count(*) FILTER (WHERE raw_data IS NULL), bool_or(raw_data = 'null') FROM policies"
    assert rows(migrated, query) == [(absent, False)]


def test_a_second_time_touches_no_row(migrated: sa.Engine) -> None:
    first = write_all(migrated, 50)
    before = rows(migrated, ROW_VERSIONS)
    second = write_all(migrated, 50)
    assert rows(migrated, ROW_VERSIONS) == before
    for name, result in second.items():
        assert result.inserted == 0
        assert result.present == first[name].inserted > 0


def test_more_rows_join_those_that_are_there_and_edited_ones_stay(migrated: sa.Engine) -> None:
    write_all(migrated, 50)
    with migrated.begin() as connection:
        connection.execute(sa.text("UPDATE policies SET title = 'mine' WHERE policy_id = 'POL-2025-001'"))
        connection.execute(sa.text("DELETE FROM policies WHERE policy_id = 'POL-2025-002'"))
    result = write_all(migrated, 60)["policies"]
    assert (result.inserted, result.present) == (11, 49)
    assert rows(migrated, "SELECT title FROM policies WHERE policy_id = 'POL-2025-001'") == [("mine",)]


def test_the_command_prints_what_it_did(migrated: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_DB", str(migrated.url.database))
    assert "policies: 20 inserted, 0 already there" in aegis("seed", "--count", "20").stdout
    answer = json.loads(aegis("seed", "--count", "30", "--json").stdout)
    assert answer["policies"] == {"inserted": 10, "present": 20}
    assert answer["documents"] == {"inserted": 0, "present": 3}
    assert set(answer) == {"policies", "users", "business_rules", "taxonomy_nodes", "documents"}
    # the stack's key, as `aegis stack up` has made it
    assert "local: 6 values (current)" in aegis("keys", "status").stdout


def test_a_database_without_schema_is_explained(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with scratch_database(settings) as empty:
        monkeypatch.setenv("POSTGRES_DB", str(empty.url.database))
        result = aegis("seed", check=False)
    assert result.returncode == 1
    assert "next: aegis migrate" in result.stderr
    assert "Traceback" not in result.stderr
