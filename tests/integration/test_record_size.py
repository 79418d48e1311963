"""The largest row that the tables admit reaches every store; test_constraints has those that they refuse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from neo4j import GraphDatabase

from processor.build import make_stores
from processor.compare import State, compare
from processor.settings import Settings
from processor.source import read_rows
from processor.tables import projection_of
from sql.models.base import MAX_LIST_BYTES, MAX_LONG_BYTES, MAX_URL_BYTES
from tests.integration.path import catch_up, delete, insert, policy, start_processor, unique, update
from tests.integration.records import ends, records

POLICIES = projection_of("policies")
TOPIC = "aegis.public.policies"
FILLER = "가🚀x "
ITEMS = 40


@pytest.fixture
def key(pipeline: sa.Engine, settings: Settings) -> Iterator[str]:
    """Of a row that is removed at the end, with the long names that it left in the graph."""
    process = start_processor()
    key = unique("size")
    yield key
    delete(pipeline, key)
    catch_up(pipeline, settings)
    process.terminate()
    assert process.wait(timeout=60) == 0
    login = (settings.neo4j.user, settings.neo4j.password.get_secret_value())
    with GraphDatabase.driver(settings.neo4j.uri, auth=login) as driver:
        driver.execute_query("MATCH (n:Region|Industry) WHERE n.code STARTS WITH $key DELETE n", key=key)


def filled(size: int) -> str:
    """A text of exactly so many bytes."""
    text = FILLER * (size // len(FILLER.encode()))
    return text + "." * (size - len(text.encode()))


def largest(key: str) -> dict[str, object]:
    """A policy with every column at its limit."""
    # each item with its comma; the two braces go without the last comma
    items = [f"{key}{number:03}".ljust(MAX_LIST_BYTES // ITEMS - 1, "x") for number in range(ITEMS)]
    return policy(
        key,
        title=FILLER * 125,
        content=filled(MAX_LONG_BYTES),
        issuing_organization=FILLER * 50,
        target_regions=items,
        target_industries=items,
        original_url=filled(MAX_URL_BYTES),
    )


def test_the_largest_row_reaches_every_store_and_its_update_carries_it_twice(
    pipeline: sa.Engine, settings: Settings, key: str
) -> None:
    begin = {number: end for number, (_, end) in ends(settings, TOPIC).items()}
    insert(pipeline, [largest(key)])
    update(pipeline, key, quality_score=0.9)
    catch_up(pipeline, settings)

    sizes = [len(record.value() or b"") for record in records(settings, TOPIC, begin)]
    assert 0.9 * settings.kafka.max_message_bytes < max(sizes) < settings.kafka.max_message_bytes
    with pipeline.connect() as connection:
        row = read_rows(connection, POLICIES, [{"policy_id": key}])[key]
    for store in make_stores(settings):
        view = POLICIES.view(store.name)
        record = store.read(view, [key]).get(key)
        store.close()
        judged = compare(POLICIES, view, row, record, settings.embedding.model_id)
        assert judged.state is State.OK, (store.name, f"{judged!s:.1000}")
