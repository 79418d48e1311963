"""A store goes away and comes back: what metrics and `aegis status` say of it while the processor runs."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.app import Processor
from processor.build import build
from processor.health import Server
from processor.settings import Settings
from processor.tables.base import FieldType, Projection, View
from tests.integration.conftest import ROOT
from tests.integration.own_tables import OwnTables, own_tables
from tests.integration.scratch_server import ScratchServer, free_port, scratch_server

pytestmark = pytest.mark.native("takes a server of its own away")

NAME = "metrics_test"
TABLE = sa.Table(NAME, sa.MetaData(), sa.Column("id", sa.Text, primary_key=True), sa.Column("link", sa.Text))
FIELDS = {"id": FieldType.KEYWORD, "link": FieldType.STORED}
PROJECTION = Projection(
    model=TABLE,
    only_when={},
    views=(View("elasticsearch", "metrics-test", FIELDS), View("redis", NAME, FIELDS)),
)


@pytest.fixture(scope="module")
def cache() -> Iterator[ScratchServer]:
    with scratch_server("redis") as server:
        yield server


@pytest.fixture
def own(pipeline: sa.Engine, settings: Settings, cache: ScratchServer) -> Iterator[OwnTables]:
    redis = settings.redis.model_copy(update={"url": cache.endpoints["REDIS_URL"]})
    metrics = settings.metrics.model_copy(update={"port": free_port()})
    mine = dataclasses.replace(settings, redis=redis, metrics=metrics)
    with own_tables(mine, pipeline, [PROJECTION]) as own:
        yield own


@contextmanager
def processing(own: OwnTables) -> Iterator[None]:
    """A processor that runs meanwhile, as `aegis process` does."""
    health = Server(own.settings)
    processor = Processor(own.settings.processor, lambda stop: build(own.settings, stop, own.projections))
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(processor.run)
        try:
            yield
        finally:
            processor.stop()
            running.result()
            processor.close()
            health.close()


def sample(own: OwnTables, name: str) -> float:
    """A number as Prometheus reads it; 0 where there is none yet."""
    text = httpx.get(f"http://127.0.0.1:{own.settings.metrics.port}/metrics").text
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def until(own: OwnTables, name: str, wanted: float) -> None:
    looking = Retrying(
        retry=retry_if_result(lambda found: found != wanted), wait=wait_fixed(0.1), stop=stop_after_delay(60)
    )
    looking(sample, own, name)


def status(own: OwnTables, *options: str) -> subprocess.CompletedProcess[str]:
    mine = {
        "REDIS_URL": own.settings.redis.url,
        "KAFKA_GROUP_ID": own.settings.kafka.group_id,
        "METRICS_PORT": str(own.settings.metrics.port),
        "COLUMNS": "300",
    }
    aegis = Path(sys.executable).with_name("aegis")
    argv = [str(aegis), "status", *options]
    return subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **mine}, capture_output=True, text=True, check=False
    )


def state(own: OwnTables) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(status(own, "--json").stdout)
    return found


def test_a_store_that_is_away_is_told_by_metrics_and_status_until_it_is_back(
    own: OwnTables, cache: ScratchServer
) -> None:
    up = 'aegis_store_up{store="redis"}'
    since = 'aegis_store_waiting_since_seconds{store="redis"}'
    applied = 'db_sync_total{status="applied",target_db="redis"}'
    own.execute(sa.insert(TABLE).values(id="a", link="1"))
    # of this process, before the processor runs: it may be done before anybody has asked it
    before = REGISTRY.get_sample_value("db_sync_total", {"status": "applied", "target_db": "redis"}) or 0
    with processing(own):
        until(own, applied, before + 1)
        assert (sample(own, up), sample(own, since)) == (1, 0)
        assert state(own)["stores"]["redis"] == {"state": "up"}
        assert state(own)["processor"]["ready"] is True
        cache.stop()
        own.execute(sa.insert(TABLE).values(id="b", link="2"))
        until(own, up, 0)
        waiting_since = sample(own, since)
        assert waiting_since > 0
        shown = status(own)
        assert re.search(
            r"redis +away, the processor waits since 20\S+: redis: .* does not answer", shown.stdout
        )
        assert "(next: aegis stack up redis, or check REDIS_URL)" in shown.stdout
        assert re.search(r"elasticsearch +up", shown.stdout)
        assert shown.returncode == 1
        found = state(own)
        assert found["stores"]["redis"]["state"] == "away"
        assert found["stores"]["redis"]["since"].startswith("20")
        assert "does not answer" in found["tables"]["policies"]["stores"]["redis"]["error"]
        assert found["processor"]["ready"] is False
        assert sample(own, since) == waiting_since
        cache.up()
        until(own, up, 1)
        until(own, applied, before + 2)
        assert sample(own, since) == 0
        assert state(own)["stores"]["redis"] == {"state": "up"}
        assert sample(own, f'aegis_changes_total{{table="{NAME}"}}') >= 2
        assert sample(own, 'db_sync_latency_seconds_count{target_db="redis"}') >= 2
    records = own.assert_equal()[NAME]
    assert set(records["redis"]) == set(records["elasticsearch"]) == {"a", "b"}


def test_without_a_processor_a_store_is_asked_itself(own: OwnTables, cache: ScratchServer) -> None:
    assert state(own)["stores"]["redis"] == {"state": "up"}
    assert state(own)["processor"] is None
    cache.stop()
    try:
        found = state(own)["stores"]["redis"]
    finally:
        cache.up()
    assert (found["state"], found["since"]) == ("away", None)
    assert "does not answer" in found["error"]
    assert found["next"] == "aegis stack up redis, or check REDIS_URL"
