"""The fence on the real servers: what it lets through, and each cause for which it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.build import make_stores
from processor.settings import Settings
from processor.tables import PROJECTIONS
from processor.tables.policies import POLICIES
from reconciler.errors import CannotVerify
from reconciler.fence import MEANINGLESS, Fence, Pipe
from sql.positions import insert_lsn
from tests.integration.path import delete, insert, joined, policy, processor_running, unique
from tests.integration.test_second_connector import Second, second_connector

SECONDS = 30.0


@contextmanager
def fence(settings: Settings, seconds: float = SECONDS, pipe: Pipe | None = None) -> Iterator[Fence]:
    made = Fence(settings, PROJECTIONS, seconds, pipe)
    yield made
    made.close()


def with_kafka(settings: Settings, **changes: Any) -> Settings:
    return dataclasses.replace(settings, kafka=settings.kafka.model_copy(update=changes))


def refuses(settings: Settings, cause: str, pipe: Pipe | None = None) -> None:
    with fence(settings, pipe=pipe) as made, pytest.raises(CannotVerify, match=cause):
        made.check()


@pytest.fixture(scope="module")
def running(pipeline: sa.Engine, settings: Settings) -> Iterator[sa.Engine]:
    with processor_running():
        joined(settings)
        yield pipeline


@pytest.fixture(scope="module")
def second(pipeline: sa.Engine, settings: Settings) -> Iterator[Second]:
    with second_connector(settings, pipeline) as second:
        second.apply()
        yield second


def test_behind_a_fence_the_stores_show_all_that_was_committed_before(
    running: sa.Engine, settings: Settings
) -> None:
    prefix = unique("fence")
    stores = make_stores(settings)
    with fence(settings) as made:
        made.check()
        for n in range(5):
            insert(running, [policy(f"{prefix}-{n}-{m}") for m in range(50)])
            with running.connect() as connection:
                made.wait([POLICIES], insert_lsn(connection))
            keys = [f"{prefix}-{n}-{m}" for m in range(50)]
            for store in stores:
                assert store.stamps(POLICIES.view(store.name), keys).keys() == set(keys)
        delete(running, prefix)
        made.wait([POLICIES], made.mark())
    for store in stores:
        store.close()


def test_a_fence_that_nobody_comes_through_says_who_did_not(running: sa.Engine, settings: Settings) -> None:
    nobody = with_kafka(settings, group_id=unique("nobody"))
    lagging = r"did not come through policies in 3 s: [\d,]+ records are left"
    with fence(nobody, seconds=3) as made, pytest.raises(CannotVerify, match=lagging):
        made.wait([POLICIES], made.mark())
    with (
        fence(settings, seconds=2) as made,
        pytest.raises(CannotVerify, match="aegis_slot did not pass"),
    ):
        made.wait([POLICIES], 1 << 60)


@pytest.mark.parametrize(
    ("change", "pipe", "cause"),
    [
        ({}, Pipe(slot="nobody_s"), "there is no replication slot nobody_s"),
        ({"group_id": "nobody-reads-so"}, Pipe(), "no processor runs in group nobody-reads-so"),
        ({}, Pipe(connector="unknown"), "connector unknown cannot be asked for its config: .*404"),
    ],
)
def test_what_is_missing_is_named(
    running: sa.Engine, settings: Settings, change: dict[str, str], pipe: Pipe, cause: str
) -> None:
    refuses(with_kafka(settings, **change), cause, pipe)


def test_a_group_that_has_committed_nothing_is_named(running: sa.Engine, settings: Settings) -> None:
    members: Callable[[Any], int] = lambda _: 1  # noqa: E731  as while a new group's first member waits
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reconciler.fence.group_members", members)
        refuses(with_kafka(settings, group_id=unique("new")), "has no committed offsets for policies")


def test_a_slot_that_nobody_reads_is_named(running: sa.Engine, settings: Settings, second: Second) -> None:
    url = f"{settings.connect.url}/connectors/{second.name}"
    httpx.put(f"{url}/stop").raise_for_status()
    with second.engine.connect() as connection:
        gone = sa.text("SELECT active_pid IS NULL FROM pg_replication_slots WHERE slot_name = :slot")
        while not connection.scalar(gone, {"slot": second.name}):
            connection.execute(sa.text("SELECT pg_sleep(0.1)"))
    refuses(settings, f"nobody reads replication slot {second.name}", Pipe(second.name, second.name))
    httpx.put(f"{url}/resume").raise_for_status()


def test_a_connector_that_somebody_has_paused_is_named(
    running: sa.Engine, settings: Settings, second: Second
) -> None:
    url = f"{settings.connect.url}/connectors/{second.name}"
    httpx.put(f"{url}/pause").raise_for_status()
    paused = Retrying(
        retry=retry_if_result(lambda state: state != "PAUSED"),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(30),
    )
    paused(lambda: httpx.get(f"{url}/status").json()["connector"]["state"])
    refuses(settings, f"connector {second.name} is PAUSED", Pipe(connector=second.name))
    httpx.put(f"{url}/resume").raise_for_status()


def test_a_kafka_that_another_postgresql_feeds_is_named(running: sa.Engine, settings: Settings) -> None:
    with pytest.MonkeyPatch.context() as patch, fence(settings, seconds=2) as made:
        patch.setattr("reconciler.fence.MARKERS", "cdc.fence_of_another")
        with pytest.raises(CannotVerify, match=r"did not come to kafka at .* or one of them is another one"):
            made.check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flush.lsn.source", "false"),
        ("lsn.flush.mode", "manual"),
        ("lsn.flush.mode", "connector_and_driver"),
        ("heartbeat.interval.ms", "0"),
        ("errors.tolerance", "all"),
        ("skipped.operations", "t"),
    ],
)
def test_settings_under_which_positions_mean_nothing_are_named(
    running: sa.Engine, settings: Settings, second: Second, name: str, value: str
) -> None:
    """With the connector's own answer; the slot is the shared one, which is read by another."""
    second.connect.put_config(second.name, second.config(**{name.replace(".", "__"): value}))
    refuses(settings, f"{name}={value}: {MEANINGLESS[name][0]}", Pipe(connector=second.name))


def test_our_own_connector_is_as_it_must_be(running: sa.Engine, settings: Settings) -> None:
    with fence(settings) as made:
        made.check()
