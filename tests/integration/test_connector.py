"""The shared connector: what it sends to Kafka, and how its commands answer."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from confluent_kafka import Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.cimpl import NewTopic
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ops.connector.progress import RecordCount
from ops.connector.topics import wanted_topics
from processor.settings import Settings
from sql.capture import CONNECTOR, SLOT, published_columns
from sql.models import Base, User
from tests.integration.conftest import aegis
from tests.integration.path import delete, in_kafka, insert, policy, unique, update
from tests.integration.records import decoded, ends, records, schema_of

SENDER = sa.text("SELECT active_pid FROM pg_replication_slots WHERE slot_name = :slot")


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})


def columns_in_schema(settings: Settings, value: bytes | None) -> list[str]:
    """Column names in the schema that a record was written with."""
    envelope = {field["name"]: field["type"] for field in schema_of(settings, value)["fields"]}
    (row,) = [part for part in envelope["before"] if isinstance(part, dict)]
    return [field["name"] for field in row["fields"]]


def published(table: str) -> list[str]:
    return [column.name for column in published_columns(Base.metadata.tables[table])]


def test_applying_again_changes_nothing_and_says_so(pipeline: sa.Engine) -> None:
    with pipeline.connect() as connection:
        before = connection.execute(SENDER, {"slot": SLOT}).scalar_one()
    output = aegis("connector", "apply").stdout
    with pipeline.connect() as connection:
        assert connection.execute(SENDER, {"slot": SLOT}).scalar_one() == before
    assert output.splitlines() == [
        "topics: all there",
        f"connector {CONNECTOR}: RUNNING (unchanged)",
        "everything committed until now is in Kafka",
    ]


def test_topics_are_as_planned(pipeline: sa.Engine, settings: Settings, admin: AdminClient) -> None:
    wanted = wanted_topics(settings.kafka)
    found = admin.list_topics(timeout=10).topics
    assert {topic.name: len(found[topic.name].partitions) for topic in wanted} == {
        topic.name: topic.partitions for topic in wanted
    }
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic.name) for topic in wanted]
    configs = {
        resource.name: future.result() for resource, future in admin.describe_configs(resources).items()
    }
    for topic in wanted:
        assert int(configs[topic.name]["retention.ms"].value) == topic.retention_ms
        assert int(configs[topic.name]["max.message.bytes"].value) == topic.max_message_bytes


def test_a_policy_arrives_under_its_exact_key_without_what_must_stay(
    pipeline: sa.Engine, settings: Settings
) -> None:
    topic, key, secret = "aegis.public.policies", unique('정책"'), uuid.uuid4().hex
    begin = {number: end for number, (_, end) in ends(settings, topic).items()}
    insert(pipeline, [policy(key, raw_data={"kept": secret})])
    update(pipeline, key, raw_data={"kept": f"{secret}-2"})
    delete(pipeline, key)
    in_kafka(pipeline)
    wanted = f'{{"policy_id":{json.dumps(key, ensure_ascii=False)}}}'.encode()
    mine = [record for record in records(settings, topic, begin) if record.key() == wanted]
    assert len({record.partition() for record in mine}) == 1
    *values, tombstone = [record.value() for record in mine]
    assert (len(values), tombstone) == (3, None)
    for value in values:
        assert columns_in_schema(settings, value) == published("policies")
        assert secret not in repr(value)


def test_progress_counts_the_records_that_came(pipeline: sa.Engine, settings: Settings) -> None:
    key = unique("counted")
    written = RecordCount(settings.kafka)
    insert(pipeline, [policy(f"{key}-{number}") for number in range(5)])
    in_kafka(pipeline)
    count = written.since_start()
    delete(pipeline, key)
    assert count is not None
    assert count >= 5  # others may write meanwhile


def test_a_broker_that_does_not_answer_ends_no_waiting(settings: Settings) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        kafka = settings.kafka.model_copy(update={"bootstrap_servers": address})
        assert RecordCount(kafka).since_start() is None


def test_nothing_personal_of_a_user_is_in_kafka(pipeline: sa.Engine, settings: Settings) -> None:
    topic, number, mark = "aegis.public.users", uuid.uuid4(), uuid.uuid4().hex
    personal: dict[str, Any] = {
        "email": f"{mark}@example.com",
        "name": f"홍길동 {mark}",
        "phone": f"010-{mark}",
        "address": f"서울 {mark}",
        "personal_info": f"info {mark}".encode(),
        "contact_info": f"contact {mark}".encode(),
    }
    with pipeline.begin() as connection:
        connection.execute(sa.insert(User).values(id=number, department="연구", **personal))
    with pipeline.begin() as connection:
        connection.execute(
            sa.update(User).where(User.id == number).values(phone=f"011-{mark}", access_level=2)
        )
    with pipeline.begin() as connection:
        connection.execute(sa.delete(User).where(User.id == number))
    in_kafka(pipeline)
    begin = {n: low for n, (low, _) in ends(settings, topic).items()}
    found = records(settings, topic, begin)
    mine = [record for record in found if record.key() == f'{{"id":"{number}"}}'.encode()]
    assert [record.value() is None for record in mine] == [False, False, False, True]
    for record in found:
        everything = repr((record.key(), record.value(), record.headers()))
        assert mark not in everything
        if record.value() is not None:
            assert columns_in_schema(settings, record.value()) == published("users")


def test_connect_does_not_show_the_password(pipeline: sa.Engine, settings: Settings) -> None:
    for path in (
        f"/connectors/{CONNECTOR}",
        f"/connectors/{CONNECTOR}/config",
        f"/connectors/{CONNECTOR}/tasks",
    ):
        answer = httpx.get(settings.connect.url + path).raise_for_status().text
        assert settings.postgres.debezium_password.get_secret_value() not in answer
        assert "${env:POSTGRES_DEBEZIUM_PASSWORD}" in answer


@pytest.fixture
def paused(pipeline: sa.Engine) -> Iterator[None]:
    aegis("connector", "pause")
    yield
    aegis("connector", "resume")


def test_a_paused_connector_is_told_and_goes_on_where_it_was(
    pipeline: sa.Engine, settings: Settings, paused: None
) -> None:
    topic, key = "aegis.public.policies", unique("paused")
    begin = {number: end for number, (_, end) in ends(settings, topic).items()}
    shown = aegis("connector", "status", check=False)
    assert shown.returncode == 1
    assert f"connector {CONNECTOR}: PAUSED" in shown.stdout
    assert "next: aegis connector resume" in shown.stderr
    document = json.loads(aegis("connector", "status", "--json", check=False).stdout)
    assert document["connector"] == {"state": "PAUSED", "tasks": ["PAUSED"]}
    insert(pipeline, [policy(key)])
    assert "running" in aegis("connector", "resume").stdout
    in_kafka(pipeline)
    assert any(key in repr(record.key()) for record in records(settings, topic, begin))
    delete(pipeline, key)
    running = json.loads(aegis("connector", "status", "--json").stdout)
    assert running["connector"] == {"state": "RUNNING", "tasks": ["RUNNING"]}
    assert running["topics"] == {topic.name: topic.partitions for topic in wanted_topics(settings.kafka)}
    assert running["slot"]["name"] == SLOT
    assert running["slot"]["active"] is True


def test_restarting_only_what_failed_leaves_a_running_task_alone(pipeline: sa.Engine) -> None:
    with pipeline.connect() as connection:
        before = connection.execute(SENDER, {"slot": SLOT}).scalar_one()
    assert aegis("connector", "restart", "--only-failed").stdout == "running\n"
    with pipeline.connect() as connection:
        assert connection.execute(SENDER, {"slot": SLOT}).scalar_one() == before
    assert aegis("connector", "restart").stdout == "running\n"
    in_kafka(pipeline)
    with pipeline.connect() as connection:
        assert connection.execute(SENDER, {"slot": SLOT}).scalar_one() not in (None, before)


def test_a_missing_topic_is_told_and_made_again(pipeline: sa.Engine, admin: AdminClient) -> None:
    """Of a topic whose records nobody reads."""
    topic = "aegis.cdc.signal"
    admin.delete_topics([topic])[topic].result()
    try:
        shown = aegis("connector", "status", "--json", check=False)
    finally:
        made = aegis("connector", "apply").stdout
    assert shown.returncode == 1
    document = json.loads(shown.stdout)
    assert document["topics"][topic] is None
    assert document["connector"]["state"] == "RUNNING"
    assert f"topics are missing, and the connector waits for them: {topic}" in shown.stderr
    assert shown.stderr.rstrip().endswith("next: aegis connector apply")
    assert made.splitlines()[0] == "topics: 1 created"
    assert "RUNNING (unchanged)" in made


def test_only_our_subjects_are_relaxed_in_the_registry(pipeline: sa.Engine, settings: Settings) -> None:
    registry = settings.registry.url
    other = f"{unique('somebody-elses')}-value"
    schemas = [
        json.dumps({"type": "record", "name": "R", "fields": [{"name": "a", "type": kind}]})
        for kind in ("long", "string")
    ]
    mine = f"{registry}/config/aegis.public.policies-value"
    try:
        for url in (f"{registry}/config/{other}", mine):
            httpx.put(url, json={"compatibility": "BACKWARD"}).raise_for_status()
        aegis("connector", "apply")
        assert httpx.get(mine).json() == {"compatibilityLevel": "NONE"}
        answers = [
            httpx.post(f"{registry}/subjects/{other}/versions", json={"schema": schema}).status_code
            for schema in schemas
        ]
    finally:
        for path in (f"subjects/{other}", f"subjects/{other}?permanent=true", f"config/{other}"):
            httpx.delete(f"{registry}/{path}")
    assert answers == [200, 409]


def test_one_row_can_be_ordered_anew_by_a_record_in_the_signal_topic(
    pipeline: sa.Engine, settings: Settings
) -> None:
    topic, key = "aegis.public.policies", unique("ordered")
    insert(pipeline, [policy(key)])
    in_kafka(pipeline)
    begin = {number: end for number, (_, end) in ends(settings, topic).items()}
    order = {
        "type": "execute-snapshot",
        "data": {
            "data-collections": ["public.policies"],
            "type": "incremental",
            "additional-conditions": [
                {"data-collection": "public.policies", "filter": f"policy_id = '{key}'"},
            ],
        },
    }
    producer = Producer(settings.kafka.client())
    producer.produce("aegis-signal", key=settings.kafka.topic_prefix, value=json.dumps(order))
    assert producer.flush(10) == 0

    def mine() -> list[Message]:
        wanted = f'{{"policy_id":"{key}"}}'.encode()
        return [record for record in records(settings, topic, begin) if record.key() == wanted]

    looking = Retrying(
        retry=retry_if_result(lambda found: not found), wait=wait_fixed(0.2), stop=stop_after_delay(30)
    )
    try:
        (record,) = looking(mine)
    finally:
        delete(pipeline, key)
    event = decoded(settings, record.value())
    assert (event["op"], event["after"]["policy_id"]) == ("r", key)
    assert event["source"]["txId"] is None  # how the processor tells it from the initial snapshot


def test_a_topic_with_other_partitions_is_refused(
    pipeline: sa.Engine, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = unique("odd")
    topic = f"{prefix}.public.users"
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result()
    try:
        monkeypatch.setenv("KAFKA_TOPIC_PREFIX", prefix)
        result = aegis("connector", "apply", check=False)
        there = [name for name in admin.list_topics(timeout=10).topics if prefix in name]
    finally:
        admin.delete_topics([topic])[topic].result()
    assert result.returncode == 10
    assert f"{topic} has 3 partitions, wanted 12" in result.stderr
    assert "next: set KAFKA_PARTITIONS to what exists, or delete the topics" in result.stderr
    assert there == [topic]


def test_a_replication_role_that_may_not_log_in_is_told_before_anything_is_made(
    pipeline: sa.Engine, admin: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = unique("nobody")
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("POSTGRES_DEBEZIUM_USER", "pg_monitor")  # exists everywhere, may not log in
    result = aegis("connector", "apply", check=False)
    assert result.returncode == 10
    assert "role pg_monitor does not exist in PostgreSQL, or may not log in" in result.stderr
    assert "next: aegis migrate, or check POSTGRES_DEBEZIUM_USER" in result.stderr
    assert not [name for name in admin.list_topics(timeout=10).topics if prefix in name]


def unused_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("setting", "value", "command", "what", "then"),
    [
        ("CONNECT_URL", "http://127.0.0.1:{}", "status", "kafka connect at http", "aegis stack up connect"),
        ("CONNECT_URL", "http://127.0.0.1:{}", "apply", "kafka connect at http", "aegis stack up connect"),
        (
            "SCHEMA_REGISTRY_URL",
            "http://127.0.0.1:{}",
            "apply",
            "schema registry at",
            "aegis stack up registry",
        ),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:{}", "apply", "kafka at 127", "aegis stack up kafka"),
        ("POSTGRES_PORT", "{}", "apply", "postgresql at 127", "aegis stack up postgres"),
    ],
)
def test_a_server_that_does_not_answer_is_named_with_what_to_run(
    pipeline: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    value: str,
    command: str,
    what: str,
    then: str,
) -> None:
    monkeypatch.setenv(setting, value.format(unused_port()))
    result = aegis("connector", command, check=False)
    assert result.returncode == 1
    first, *_, last = result.stderr.strip().splitlines()
    assert first.startswith(f"error [DP_1001]: {what}")
    assert "does not answer" in first
    assert last.startswith(f"next: {then}, or check {setting[:8]}")
    assert "Traceback" not in result.stderr


def test_a_slot_is_never_dropped_while_its_position_is_kept(pipeline: sa.Engine) -> None:
    result = aegis("connector", "delete", "--slot", "--yes", check=False)
    assert result.returncode == 10
    assert "next: add --offsets" in result.stderr
