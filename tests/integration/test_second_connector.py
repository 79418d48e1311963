"""Connectors of the tests' own: how failures are told, and how a position is forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest
import sqlalchemy as sa
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic

from ops.connector.client import Connect
from ops.connector.definition import load, placeholders
from ops.connector.lifecycle import configure, drop_slot, forget_offsets, restart, wake
from ops.connector.topics import Topic, raise_sizes
from ops.connector.wait import wait_caught_up, wait_running, wait_stopped
from processor.errors import SourceError
from processor.settings import Settings
from sql.capture import CONNECTOR
from tests.integration.path import unique
from tests.integration.records import decoded, ends, records

SECONDS = 60.0


@dataclass(frozen=True)
class Second:
    """A connector beside the shared one that captures only the one row of cdc.heartbeat."""

    settings: Settings
    connect: Connect
    engine: sa.Engine
    name: str = field(default_factory=lambda: unique("second").replace("-", "_"))

    def config(self, **changes: str) -> dict[str, str]:
        """Our definition with its own names; in `changes` a dot is written `__`."""
        own = {"TOPIC_PREFIX": self.name, "SLOT": self.name, "CAPTURED_TABLES": "cdc.heartbeat"}
        config = load(CONNECTOR, {**placeholders(self.settings), **own})
        del config["signal.kafka.topic"], config["signal.kafka.bootstrap.servers"]
        config["signal.enabled.channels"] = "source"
        return config | {key.replace("__", "."): value for key, value in changes.items()}

    @property
    def topic(self) -> str:
        """Where its rows go."""
        return f"{self.name}.cdc.heartbeat"

    def apply(self, **changes: str) -> None:
        """As the command does it."""
        if not configure(self.connect, self.name, self.config(**changes), SECONDS):
            wake(self.connect, self.name, SECONDS)
        wait_running(self.connect, self.name, SECONDS)

    def caught_up(self) -> None:
        wait_caught_up(self.connect, self.name, self.engine, self.name, SECONDS)

    def snapshots(self) -> int:
        """How often a snapshot read the row."""
        begin = {number: low for number, (low, _) in ends(self.settings, self.topic).items()}
        values = [record.value() for record in records(self.settings, self.topic, begin)]
        return [decoded(self.settings, value)["op"] for value in values if value is not None].count("r")

    def remove(self) -> None:
        if self.connect.config(self.name) is not None:
            forget_offsets(self.connect, self.name, SECONDS)
        self.connect.delete(self.name)
        drop_slot(self.settings.postgres, self.name)

    def sweep(self) -> None:
        """Its topics and schemas."""
        admin = AdminClient({"bootstrap.servers": self.settings.kafka.bootstrap_servers})
        topics = [name for name in admin.list_topics(timeout=10).topics if self.name in name]
        for future in admin.delete_topics(topics).values() if topics else ():
            future.result()
        registry = self.settings.registry.url
        for subject in httpx.get(f"{registry}/subjects").raise_for_status().json():
            if self.name in subject:
                for permanent in ("false", "true"):
                    httpx.delete(f"{registry}/subjects/{subject}", params={"permanent": permanent})


@contextmanager
def second_connector(settings: Settings, engine: sa.Engine) -> Iterator[Second]:
    connect = Connect(settings.connect)
    second = Second(settings, connect, engine)
    try:
        yield second
    finally:
        second.remove()
        second.sweep()
        connect.close()


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    return AdminClient(settings.kafka.client())


@pytest.fixture
def second(pipeline: sa.Engine, settings: Settings) -> Iterator[Second]:
    with second_connector(settings, pipeline) as second:
        yield second


def test_a_missing_publication_is_told_with_its_cure_and_mended_by_applying_again(second: Second) -> None:
    with pytest.raises(SourceError) as caught:
        second.apply(publication__name="nobody_made_this")
    assert str(caught.value).startswith(f"connector {second.name} failed: the publication is missing\n")
    assert "Publication autocreation is disabled" in str(caught.value)
    assert caught.value.hint == "aegis migrate, then aegis connector restart --only-failed"
    second.apply()  # Connect still shows the failed task for a moment
    second.caught_up()


def test_a_change_that_breaks_a_running_connector_is_never_taken_for_running(second: Second) -> None:
    second.apply()
    with pytest.raises(SourceError, match="the publication is missing"):
        second.apply(publication__name="nobody_made_this")
    with pytest.raises(SourceError, match="the publication is missing"):
        second.apply(publication__name="nobody_made_this")  # unchanged: started anew
    with pytest.raises(SourceError, match="the publication is missing"):
        restart(second.connect, second.name, SECONDS)
        wait_running(second.connect, second.name, SECONDS)


def test_a_configuration_that_cannot_work_is_refused_with_its_cure(second: Second) -> None:
    with pytest.raises(SourceError, match="password authentication failed") as caught:
        second.apply(database__password="wrong")
    assert "POSTGRES_DEBEZIUM_PASSWORD" in str(caught.value.hint)
    with pytest.raises(SourceError, match=r"Connection to 127\.0\.0\.1:1 refused") as caught:
        second.apply(database__hostname="127.0.0.1", database__port="1")
    assert "aegis stack up postgres" in str(caught.value.hint)
    assert second.connect.config(second.name) is None


def test_what_runs_goes_on_when_a_change_is_refused(second: Second) -> None:
    second.apply()
    with pytest.raises(SourceError, match="password authentication failed"):
        second.apply(database__password="wrong")
    wait_running(second.connect, second.name, SECONDS)
    second.caught_up()


def test_a_lost_slot_is_told_and_forgetting_the_position_takes_a_new_snapshot(second: Second) -> None:
    second.apply()
    second.caught_up()
    assert second.snapshots() == 1
    second.connect.stop(second.name)
    wait_stopped(second.connect, second.name, SECONDS)
    drop_slot(second.settings.postgres, second.name)
    with pytest.raises(SourceError, match="the replication slot is gone") as caught:
        second.apply()
    assert str(caught.value.hint).startswith(
        "aegis connector delete --offsets --slot, then aegis connector apply"
    )
    second.remove()
    second.apply()
    second.caught_up()
    assert second.snapshots() == 2


def test_without_forgetting_it_goes_on_where_it_was(second: Second) -> None:
    second.apply()
    second.caught_up()
    second.connect.delete(second.name)
    second.apply()
    second.caught_up()
    assert second.snapshots() == 1


def test_a_slot_that_somebody_made_anew_is_never_followed_silently(second: Second) -> None:
    """PostgreSQL would start at the new slot's position, without a word about the changes before it."""
    second.apply()
    second.caught_up()
    second.connect.stop(second.name)
    wait_stopped(second.connect, second.name, SECONDS)
    drop_slot(second.settings.postgres, second.name)
    with second.engine.begin() as connection:
        connection.execute(sa.text("UPDATE cdc.heartbeat SET ts = now()"))
    with second.engine.begin() as connection:
        create = sa.text("SELECT pg_create_logical_replication_slot(:slot, 'pgoutput')")
        connection.execute(create, {"slot": second.name})
    with pytest.raises(SourceError, match="the replication slot is gone, or its log was removed"):
        second.apply()


def test_a_connector_that_does_not_come_is_told_with_its_state(second: Second) -> None:
    with pytest.raises(SourceError, match=f"{second.name} does not run after 1 s: not registered"):
        wait_running(second.connect, second.name, 1)
    second.apply()
    second.connect.pause(second.name)
    with pytest.raises(SourceError, match="does not run after 2 s: PAUSED, tasks PAUSED"):
        wait_running(second.connect, second.name, 2)
    with pytest.raises(SourceError, match=f"slot {second.name} did not pass .* in 1 s: it is at "):
        wait_caught_up(second.connect, second.name, second.engine, second.name, 1)
    second.apply()  # nothing changed, but it goes on
    second.caught_up()


def test_a_slot_in_use_is_not_dropped(second: Second) -> None:
    second.apply()
    second.caught_up()
    with pytest.raises(SourceError, match="something still reads it") as caught:
        drop_slot(second.settings.postgres, second.name, seconds=1)
    assert f"slot_name = '{second.name}'" in str(caught.value.hint)


def record_size(admin: AdminClient, topic: str) -> int:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return int(admin.describe_configs([resource])[resource].result()["max.message.bytes"].value)


def test_a_record_that_its_topic_refuses_is_told_and_goes_through_once_the_topic_takes_it(
    second: Second, admin: AdminClient
) -> None:
    small = NewTopic(second.topic, 1, 1, config={"max.message.bytes": "100"})
    admin.create_topics([small])[second.topic].result()
    with pytest.raises(SourceError, match="a row is larger than a record may be") as caught:
        second.apply()
        second.caught_up()
    assert (
        caught.value.hint == "set KAFKA_MAX_MESSAGE_BYTES above the record's size, then aegis connector apply"
    )
    assert raise_sizes(admin, [Topic(second.topic, 1, 0, 1_048_576)]) == [second.topic]
    assert record_size(admin, second.topic) == 1_048_576
    assert raise_sizes(admin, [Topic(second.topic, 1, 0, 1_000)]) == []  # never lowered
    assert record_size(admin, second.topic) == 1_048_576
    second.apply()
    second.caught_up()
    assert second.snapshots() >= 1


def test_a_topic_that_connect_has_to_make_has_the_partitions_of_its_kind(
    second: Second, admin: AdminClient
) -> None:
    second.apply(topic__creation__rows__include=re.escape(second.topic))
    second.caught_up()
    found = admin.list_topics(timeout=10).topics
    assert len(found[second.topic].partitions) == second.settings.kafka.partitions
    assert len(found[f"__debezium-heartbeat.{second.name}"].partitions) == 1
    assert record_size(admin, second.topic) == second.settings.kafka.max_message_bytes


def test_a_topic_deleted_under_a_running_task_is_waited_for_and_nothing_is_skipped(
    second: Second, admin: AdminClient
) -> None:
    """Connect shows RUNNING all the while, so only a look at the topics can tell."""
    second.apply()
    second.caught_up()
    admin.delete_topics([second.topic])[second.topic].result()
    with pytest.raises(SourceError, match=f"slot {second.name} did not pass .* in 3 s"):
        for _ in range(20):  # for a moment the broker still takes what goes there
            wait_caught_up(second.connect, second.name, second.engine, second.name, 3)
    status = second.connect.status(second.name)
    assert status is not None
    assert status.running
    admin.create_topics([NewTopic(second.topic, 1, 1)])[second.topic].result()
    second.caught_up()
