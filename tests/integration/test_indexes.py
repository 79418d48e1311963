"""Look-ups of the intake and of readers use their indexes, on as many rows as it takes to matter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from psycopg.types.json import Jsonb

from processor.settings import Settings
from sql.queries import QUERIES
from tests.database.own_database import own_database, plan

ROWS = """
INSERT INTO taxonomy_nodes (label, canonical_path, version, confidence)
SELECT 'leaf' || n, ARRAY['root' || mod(n, 10), 'branch' || mod(n, 500), 'leaf' || n], '1.0.0', 1
FROM generate_series(1, 10000) AS n;
INSERT INTO users (email, name, department)
SELECT 'user' || n || '@example.org', 'name', 'department' || mod(n, 20) FROM generate_series(1, 10000) AS n;
INSERT INTO documents (title, content, source, metadata)
SELECT 'title', 'content', 'source',
    jsonb_build_object('year', 1000 + n, 'tags', jsonb_build_array('tag' || mod(n, 300)))
FROM generate_series(1, 1000) AS n;
"""


@pytest.fixture(scope="module")
def connection(settings: Settings) -> Iterator[sa.Connection]:
    """10,000 nodes, 10,000 users and 1,000 documents, as a server knows them after autovacuum."""
    with own_database(settings) as engine:
        with engine.begin() as opened:
            opened.exec_driver_sql(ROWS)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as opened:
            for table in ("taxonomy_nodes", "users", "documents"):
                opened.exec_driver_sql(f"VACUUM ANALYZE {table}")
            yield opened


@pytest.mark.parametrize(
    ("query", "index", "found"),
    [
        (
            "SELECT node_id FROM taxonomy_nodes WHERE canonical_path @> ARRAY['branch7']",
            "idx_taxonomy_nodes_canonical_path",
            20,
        ),
        (
            "SELECT node_id FROM taxonomy_nodes WHERE canonical_path @> ARRAY['root3', 'leaf43']",
            "idx_taxonomy_nodes_canonical_path",
            1,
        ),
        ("SELECT id FROM users WHERE email = 'user77@example.org'", "idx_users_email", 1),
        ("""SELECT id FROM documents WHERE metadata @> '{"year": 1500}'""", "idx_documents_metadata", 1),
        ("""SELECT id FROM documents WHERE metadata @> '{"tags": ["tag9"]}'""", "idx_documents_metadata", 4),
    ],
)
def test_it_is_found_by_its_index(connection: sa.Connection, query: str, index: str, found: int) -> None:
    assert len(connection.exec_driver_sql(query).all()) == found
    explained = plan(connection, query)
    assert index in explained
    assert "Seq Scan" not in explained


@pytest.mark.parametrize("count", [1, 100])
def test_nodes_are_looked_up_by_the_unique_index_of_their_path(connection: sa.Connection, count: int) -> None:
    paths = [[f"root{n % 10}", f"branch{n % 500}", f"leaf{n}"] for n in range(1, count + 1)]
    parameters = {"paths": Jsonb(paths), "version": None}
    assert len(connection.execute(sa.text(QUERIES["taxonomy_lookup"]), parameters).all()) == count
    explained = plan(connection, statement("taxonomy_lookup"), **parameters)
    assert "uq_taxonomy_nodes_canonical_path_version" in explained
    assert "Seq Scan" not in explained


def test_what_stands_below_a_path_is_found_by_the_index_of_what_it_contains(
    connection: sa.Connection,
) -> None:
    parameters = {"path": ["root7", "branch7"], "version": None}
    assert len(connection.execute(sa.text(QUERIES["taxonomy_subtree"]), parameters).all()) == 20
    explained = plan(connection, statement("taxonomy_subtree"), **parameters)
    assert "idx_taxonomy_nodes_canonical_path" in explained
    assert "Seq Scan" not in explained


def statement(name: str) -> str:
    """A named block without its sentence."""
    return QUERIES[name].split("\n", 1)[1]
