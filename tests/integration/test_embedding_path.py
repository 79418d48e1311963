"""Vectors on the real path: what is embedded, how often, and that what is stored is what the model gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from processor.app import Processor
from processor.build import build, make_embedder, make_stores
from processor.embed import Embedder
from processor.embedding.load import load_encoder
from processor.settings import Settings
from processor.source import read_all
from processor.tables import projection_of
from tests.integration.conftest import aegis
from tests.integration.path import delete, in_kafka, insert, policy, records_of, unique, update

POLICIES = projection_of("policies")
VIEW = POLICIES.view("milvus")


@pytest.fixture
def prefix(pipeline: sa.Engine) -> Iterator[str]:
    prefix = unique("embed")
    yield prefix
    delete(pipeline, prefix)


def texts_embedded(engine: sa.Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many texts a processor embeds while it catches up."""
    made: list[Embedder] = []

    def remember(*arguments: Any) -> Embedder | None:
        embedder = make_embedder(*arguments)
        assert embedder is not None
        made.append(embedder)
        return embedder

    monkeypatch.setattr("processor.build.make_embedder", remember)
    in_kafka(engine)
    processor = Processor(settings.processor, lambda stop: build(settings, stop))
    assert processor.run(until_caught_up=True)
    processor.close()
    return made[0].encoded


def test_a_text_is_embedded_once_and_only_when_it_changes(
    pipeline: sa.Engine, settings: Settings, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embedded() -> int:
        return texts_embedded(pipeline, settings, monkeypatch)

    embedded()
    insert(pipeline, [policy(f"{prefix}-{n}") for n in range(5)])
    assert embedded() == 5
    for n in range(5):
        update(pipeline, f"{prefix}-{n}", quality_score=0.1, target_regions=["50"], original_url="http://x")
    assert embedded() == 0
    update(pipeline, f"{prefix}-0", is_active=False)
    assert embedded() == 0
    update(pipeline, f"{prefix}-1", content="새 내용")
    update(pipeline, f"{prefix}-2", interest_rate="1.10")
    assert embedded() == 2


def test_every_stored_vector_is_what_the_model_gives_for_its_row_now(
    pipeline: sa.Engine, settings: Settings
) -> None:
    aegis("seed")
    in_kafka(pipeline)
    aegis("process", "--until-caught-up")
    (store,) = (store for store in make_stores(settings) if store.name == VIEW.store)
    records = records_of(store, VIEW)
    store.close()
    with pipeline.connect() as connection:
        rows = read_all(connection, POLICIES)
    texts = {key: POLICIES.text(VIEW, row) or "" for key, row in rows.items() if POLICIES.predicate(row)}
    assert len(texts) > 300
    assert records.keys() == texts.keys()
    encoder = load_encoder(settings.embedding)
    fresh = encoder.encode(list(texts.values()))
    encoder.close()
    for key, vector in zip(texts, fresh, strict=True):
        stored = records[key].vector
        assert stored is not None
        assert float(np.dot(stored.values, vector)) > 0.9999, key
