"""What the processor tells about itself, as a reader of its HTTP paths finds it."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from ops.store_states import read_processor
from processor import health, metrics
from processor.change import Message
from processor.errors import Unavailable
from processor.health import Server
from processor.letters import Letter
from processor.settings import Settings, load_settings
from tests.integration.scratch_server import free_port

REFUSED = {"redis": "rejected", "milvus": "compensated", "neo4j": "compensation_failed", "other": "skipped"}


@pytest.fixture
def settings() -> Settings:
    found = load_settings()
    return dataclasses.replace(found, metrics=found.metrics.model_copy(update={"port": free_port()}))


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    server = Server(settings)
    yield f"http://127.0.0.1:{settings.metrics.port}"
    server.close()


def value(url: str, sample: str) -> float:
    """Of a sample as Prometheus reads it; 0 where there is none yet."""
    found = re.search(rf"^{re.escape(sample)} (\S+)$", httpx.get(f"{url}/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def ready(url: str) -> httpx.Response:
    return httpx.get(f"{url}/health/ready")


def test_a_store_is_away_from_its_first_failure_until_it_has_done_its_work(url: str) -> None:
    metrics.in_group(12)
    with metrics.Work(["redis", "neo4j"]) as work:
        work.done("neo4j")
        work.waits("redis", Unavailable("redis", "does not answer", hint="start it"))
        since = value(url, 'aegis_store_waiting_since_seconds{store="redis"}')
        work.waits("redis", Unavailable("redis", "is full", hint="empty it"))
        assert value(url, 'aegis_store_waiting_since_seconds{store="redis"}') == since
        assert abs(since - datetime.now(UTC).timestamp()) < 60
        assert value(url, 'aegis_store_up{store="redis"}') == 0
        assert value(url, 'aegis_store_up{store="neo4j"}') == 1
        answer = ready(url)
        assert answer.status_code == 503
        assert answer.json()["waits_for"] == {
            "redis": {"reason": "redis: is full", "since": since, "hint": "empty it"}
        }
        work.done("redis")
        assert value(url, 'aegis_store_up{store="redis"}') == 1
        assert value(url, 'aegis_store_waiting_since_seconds{store="redis"}') == 0
        assert ready(url).status_code == 200


def test_work_that_is_abandoned_waits_for_nobody_and_the_store_stays_down(url: str) -> None:
    metrics.in_group(0)
    with pytest.raises(RuntimeError), metrics.Work(["redis"]) as work:
        work.waits("redis", Unavailable("redis", "does not answer"))
        raise RuntimeError
    assert value(url, 'aegis_store_up{store="redis"}') == 0
    assert value(url, 'aegis_store_waiting_since_seconds{store="redis"}') == 0
    assert ready(url).json()["waits_for"] == {}


def test_a_process_is_ready_with_a_place_in_the_group_be_it_one_without_partitions(url: str) -> None:
    metrics.out_of_group()
    assert ready(url).status_code == 503
    assert value(url, "aegis_partitions") == -1
    metrics.in_group(0)
    assert ready(url).status_code == 200
    assert httpx.get(f"{url}/health").json() == {"status": "alive"}
    assert httpx.get(f"{url}/elsewhere").status_code == 404


def test_a_letter_counts_by_its_table_and_by_every_stores_outcome(url: str) -> None:
    samples = [
        f'db_sync_total{{status="{outcome}",target_db="{store}"}}' for store, outcome in REFUSED.items()
    ]
    letters = 'aegis_dead_letters_total{code="DP_3005",stage="apply",table="policies"}'
    before = [value(url, sample) for sample in (*samples, letters)]
    message = Message("refresh.aegis.public.policies", 0, 1, b"k", b"v", (), 0)
    metrics.batch_done([], [Letter(message, "apply", "DP_3005", "Rejected", "why", "redis", REFUSED)])
    after = [value(url, sample) for sample in (*samples, letters)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1, 1, 0, 1]


def test_a_port_that_is_taken_is_a_warning(
    settings: Settings, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, health.__name__):
        Server(settings).close()
    assert f"METRICS_PORT={settings.metrics.port}" in caplog.text


def test_a_port_of_zero_is_none(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    off = settings.metrics.model_copy(update={"port": 0})
    Server(dataclasses.replace(settings, metrics=off)).close()
    assert caplog.text == ""
    assert read_processor(dataclasses.replace(settings, metrics=off)) is None


def test_only_a_processor_of_the_same_group_and_broker_is_believed(settings: Settings, url: str) -> None:
    said = read_processor(settings)
    assert said is not None
    assert said["group"] == settings.kafka.group_id
    other = settings.kafka.model_copy(update={"group_id": "another"})
    assert read_processor(dataclasses.replace(settings, kafka=other)) is None
