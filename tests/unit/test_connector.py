"""The connector's definition, its topics, and what is said about failures. No server."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from typing import get_type_hints

import pytest

from ops.connector.cures import CURES, causes, find_cure
from ops.connector.definition import FOLDER, load, placeholders, render
from ops.connector.topics import (
    DAY_MS,
    FOR_EVER,
    Ensured,
    too_small,
    wanted_topics,
    written_topics,
    wrong_partitions,
)
from processor.errors import ConfigurationError
from processor.settings import Block, Settings
from sql.capture import CONNECTOR, captured_tables, full_name, private_columns

TABLES = ("business_rules", "doc_taxonomy", "documents", "policies", "taxonomy_nodes", "users")
"""What is captured today; a new captured table belongs in here, after somebody looked at its columns."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As set by nobody: no file and no variable of the machine changes a value."""
    hints = get_type_hints(Settings)
    blocks: list[type[Block]] = [hints[field.name] for field in fields(Settings)]
    for block in blocks:
        for field in block.model_fields:
            monkeypatch.delenv(f"{block.model_config['env_prefix']}{field}".upper(), raising=False)
    return Settings(*(block(_env_file=None) for block in blocks))  # type: ignore[call-arg, arg-type]


def test_a_placeholder_without_a_value_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"\$\{NOBODY_SET_THIS\}, which has no value"):
        render('{"slot.name": "${NOBODY_SET_THIS}"}', {"SLOT": "s"})


@pytest.mark.parametrize("text", ["{", "[1]", '"text"', '{"tasks.max": 1}', '{"a": "5 $"}', '{"a": null}'])
def test_what_is_not_an_object_of_texts_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a JSON object of texts"):
        render(text, {})


def test_connects_own_references_are_left_for_connect() -> None:
    assert render('{"p": "$${env:SECRET}", "h": "${HOST}"}', {"HOST": "db"}) == {
        "p": "${env:SECRET}",
        "h": "db",
    }


def test_the_definition_is_complete_and_holds_no_password(settings: Settings) -> None:
    config = load(CONNECTOR, placeholders(settings))
    assert config["database.password"] == "${env:POSTGRES_DEBEZIUM_PASSWORD}"
    del config["database.password"]
    assert "$" not in "".join(config.values())
    assert all(config.values())
    assert config["signal.kafka.topic"] == "aegis-signal"


def test_connect_may_see_other_addresses_than_we_do(settings: Settings) -> None:
    inside = settings.connect.model_copy(
        update={
            "postgres_host": "postgres",
            "postgres_port": 5432,
            "kafka_bootstrap_servers": "kafka:29092",
        }
    )
    config = load(CONNECTOR, placeholders(replace(settings, connect=inside)))
    assert (config["database.hostname"], config["database.port"]) == ("postgres", "5432")
    assert config["signal.kafka.bootstrap.servers"] == "kafka:29092"


def test_every_key_of_the_definition_is_explained_or_plain() -> None:
    plain = (
        r"connector\.class|tasks\.max|database\..*|topic\.prefix|publication\.name|slot\.name|tombstones\..*"
    )
    explained = set(re.findall(r"`([a-z.*]+)(?:=[a-z_0-9]+)?`", (FOLDER / "README.md").read_text()))
    patterns = [re.escape(name).replace(r"\*", ".*") for name in explained]
    for key in json.loads((FOLDER / f"{CONNECTOR}.json").read_text()):
        assert any(re.fullmatch(pattern, key) for pattern in [plain, *patterns]), key


def test_excluded_are_the_private_columns_and_no_others(settings: Settings) -> None:
    """Debezium matches each expression against the whole of schema.table.column."""
    patterns = placeholders(settings)["PRIVATE_COLUMNS"].split(",")
    columns = [f"{full_name(table)}.{column.name}" for table in captured_tables() for column in table.columns]
    near = [re.sub(r"\.", "x", name) for name in columns] + [f"{name}_2" for name in columns]
    excluded = [name for name in [*columns, *near] if any(re.fullmatch(p, name) for p in patterns)]
    assert sorted(excluded) == sorted(private_columns())
    assert {"public.policies.raw_data", "public.users.email", "public.users.phone"} <= set(excluded)
    assert "public.users.department" not in excluded


def test_captured_are_our_tables_and_those_of_change_capture_itself(settings: Settings) -> None:
    names = placeholders(settings)["CAPTURED_TABLES"].split(",")
    assert names == [*(f"public.{table}" for table in TABLES), "cdc.fence", "cdc.heartbeat", "cdc.signal"]


def test_each_table_has_three_topics_of_equal_partitions(settings: Settings) -> None:
    topics = {topic.name: topic for topic in wanted_topics(settings.kafka)}
    for table in TABLES:
        name = f"aegis.public.{table}"
        rows, refresh, letters = topics[name], topics[f"refresh.{name}"], topics[f"dlq.{name}"]
        assert [topic.partitions for topic in (rows, refresh, letters)] == [12, 12, 12]
        assert [topic.retention_ms for topic in (rows, refresh, letters)] == [
            7 * DAY_MS,
            7 * DAY_MS,
            FOR_EVER,
        ]
        assert rows.max_message_bytes == refresh.max_message_bytes == 16 * 1024 * 1024
        assert letters.max_message_bytes == 16 * 1024 * 1024 + 64 * 1024


def test_topics_without_an_order_between_keys_have_one_partition(settings: Settings) -> None:
    singles = {
        topic.name: topic.retention_ms for topic in wanted_topics(settings.kafka) if topic.partitions == 1
    }
    assert singles == dict.fromkeys(
        [
            "aegis.cdc.fence",
            "aegis.cdc.heartbeat",
            "aegis.cdc.signal",
            "aegis-signal",
            "__debezium-heartbeat.aegis",
        ],
        DAY_MS,
    )
    assert len(wanted_topics(settings.kafka)) == 3 * len(TABLES) + len(singles)


def test_a_topic_with_other_partitions_is_told_and_a_missing_one_is_not(settings: Settings) -> None:
    wanted = wanted_topics(settings.kafka)
    found = {topic.name: topic.partitions for topic in wanted[1:]}
    assert wrong_partitions(wanted, found) == []
    found["dlq.aegis.public.users"] = 3
    found["somebody-elses"] = 7
    assert wrong_partitions(wanted, found) == ["dlq.aegis.public.users has 3 partitions, wanted 12"]


def test_a_topic_that_connect_makes_is_of_the_right_kind(settings: Settings) -> None:
    """Connect matches each expression against a topic's whole name; what matches is made as a table's."""
    patterns = placeholders(settings)["ROW_TOPICS"].split(",")
    names = [topic.name for topic in wanted_topics(settings.kafka)] + ["aegisxpublic.users"]
    found = [name for name in names if any(re.fullmatch(p, name) for p in patterns)]
    assert found == [f"aegis.public.{table}" for table in TABLES]


def test_the_connector_writes_table_topics_and_those_of_change_capture_but_no_commands(
    settings: Settings,
) -> None:
    written = written_topics(settings.kafka)
    singles = ["aegis.cdc.fence", "aegis.cdc.heartbeat", "aegis.cdc.signal", "__debezium-heartbeat.aegis"]
    assert written == [*(f"aegis.public.{table}" for table in TABLES), *singles]


@pytest.mark.parametrize(("largest", "buffer"), [(1, 32), (16, 32), (64, 128)])
def test_the_producers_buffer_holds_the_largest_record_twice(
    settings: Settings, largest: int, buffer: int
) -> None:
    kafka = settings.kafka.model_copy(update={"max_message_bytes": largest * 1024 * 1024})
    config = load(CONNECTOR, placeholders(replace(settings, kafka=kafka)))
    assert config["producer.override.max.request.size"] == str(largest * 1024 * 1024)
    assert config["producer.override.buffer.memory"] == str(buffer * 1024 * 1024)


def test_only_topics_that_exist_and_take_less_than_they_must_are_too_small(settings: Settings) -> None:
    less, equal, more, missing = wanted_topics(settings.kafka)[:4]
    sizes = {
        less.name: less.max_message_bytes - 1,
        equal.name: equal.max_message_bytes,
        more.name: more.max_message_bytes + 1,
    }
    assert too_small([less, equal, more, missing], sizes) == [less]


def test_what_was_done_to_the_topics_is_told() -> None:
    assert str(Ensured([], [])) == "all there"
    assert str(Ensured(["a", "b"], ["c"])) == "2 created, 1 take larger records now"


TRACES = [
    # (cause, the line that tells) as Debezium 3.7.0.Final, Connect 4.3 and PostgreSQL 17 write it
    ("slot is gone", "DebeziumException: ... but this is no longer available on the server. Reconfigure the"),
    ("slot is gone", 'ERROR: can no longer get changes from replication slot "aegis_slot"'),
    ("slot is gone", "Detail: This slot has been invalidated because it exceeded the maximum reserved size."),
    ("another process reads", 'PSQLException: ERROR: replication slot "hxa" is active for PID 21119'),
    (
        "publication is missing",
        "ConnectException: Publication autocreation is disabled, please create one and",
    ),
    ("publication is missing", 'PSQLException: ERROR: publication "aegis_publication" does not exist'),
    ("password", 'connector config: FATAL: password authentication failed for user "debezium_user"'),
    ("lacks a right", "PSQLException: FATAL: permission denied to start WAL sender"),
    ("cannot reach PostgreSQL", "connector config: Connection to 127.0.0.1:1 refused. Check that the"),
    ("cannot reach PostgreSQL", "Error while validating connector config: The connection attempt failed."),
    ("logical log", "Postgres server wal_level property must be 'logical' but is: 'replica'"),
    ("slot or sender left", "PSQLException: ERROR: all replication slots are in use"),
    (
        "refuses a changed schema",
        """DataException: Failed to serialize Avro data from topic t :
        Caused by: org.apache.kafka.common.errors.SerializationException: Error registering Avro schema{}
        Caused by: RestClientException: io.apicurio.registry.rules.violation.RuleViolationException:"""
        " Incompatible artifact: t-value [AVRO], num of incompatible diffs: {3}; error code: 409",
    ),
    (
        "larger than a record",
        """ConnectException: Unrecoverable exception from producer send callback
        Caused by: org.apache.kafka.common.errors.RecordTooLargeException: The message is 570 bytes when""",
    ),
    (
        "schema registry does not answer",
        """DataException: Failed to serialize Avro data from topic t :
        Caused by: org.apache.kafka.common.errors.SerializationException: Error serializing Avro message
        Caused by: java.net.ConnectException: Connection refused""",
    ),
]


@pytest.mark.parametrize(("cause", "trace"), TRACES)
def test_a_known_failure_is_told_with_its_cure(cause: str, trace: str) -> None:
    cure = find_cure(trace)
    assert cure is not None
    assert cause in cure.cause
    assert "aegis " in cure.next


def test_every_cure_is_shown_by_some_trace() -> None:
    found = {find_cure(trace) for _, trace in TRACES}
    assert found == set(CURES)


def test_an_unknown_failure_has_no_cure() -> None:
    assert find_cure("java.lang.NullPointerException\n\tat io.debezium.Some.thing(Some.java:1)") is None


def test_causes_are_the_chain_without_frames() -> None:
    trace = (
        "a.ConnectException: first\n\tat x.Y.z(Y.java:1)\n\tat x.Y.z(Y.java:2)\n"
        "Caused by: b.DataException: second\n\tat x.Y.z(Y.java:3)\n\t... 7 more\n\n"
    )
    assert causes(trace) == ["a.ConnectException: first", "Caused by: b.DataException: second"]


def test_of_many_causes_the_first_and_the_last_are_kept_and_long_ones_are_cut() -> None:
    lines = causes("\n".join(f"Caused by: {n} {'x' * 1_000}" for n in range(20)))
    assert [line[:13].rstrip("x ") for line in lines] == [
        "Caused by: 0", "...", "Caused by: 16", "Caused by: 17", "Caused by: 18", "Caused by: 19",
    ]  # fmt: skip
    assert {len(line) for line in lines} == {300, 3}
