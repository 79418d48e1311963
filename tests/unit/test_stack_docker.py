from __future__ import annotations

import json
from pathlib import Path

import pytest

from ops.connector.definition import load, placeholders
from ops.stack import docker
from ops.stack.credentials import load_credentials
from ops.stack.layout import DEFAULT_PORTS, StackLayout, StackSettings
from processor.errors import ConfigurationError
from processor.settings import load_settings
from sql.capture import CONNECTOR


@pytest.fixture
def native(tmp_path: Path) -> StackLayout:
    return StackLayout(tmp_path / "cache", tmp_path / "state", tmp_path / ".env.stack", DEFAULT_PORTS)


@pytest.fixture(autouse=True)
def settings_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in docker.DEFAULT_PORTS:
        monkeypatch.delenv(f"AEGIS_DOCKER_{name.upper()}_PORT", raising=False)
    monkeypatch.delenv("AEGIS_PORT_OFFSET", raising=False)
    for settings in (docker.DockerSettings, StackSettings):
        monkeypatch.setitem(settings.model_config, "env_file", None)


def container(service: str, state: str = "running", health: str = "", code: int = 0) -> str:
    return json.dumps({"Service": service, "State": state, "Health": health, "ExitCode": code}) + "\n"


def test_both_stacks_can_run_at_once(native: StackLayout) -> None:
    layout = docker.docker_layout(native)
    assert not set(layout.ports.values()) & set(native.ports.values())
    assert layout.state_dir != native.state_dir
    assert load_credentials(layout) != load_credentials(native)


def test_ports_follow_the_offset_unless_set_one_by_one(
    native: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AEGIS_PORT_OFFSET", "200")
    monkeypatch.setenv("AEGIS_DOCKER_KAFKA_PORT", "9092")
    ports = docker.docker_layout(native).ports
    assert (ports["postgres"], ports["kafka"]) == (25632, 9092)


def test_compose_is_given_every_password_and_port(native: StackLayout) -> None:
    layout = docker.docker_layout(native)
    credentials = load_credentials(layout)
    variables = docker.compose_variables(layout, credentials)
    # no container reads or writes encrypted fields
    passwords = set(vars(credentials).values()) - {credentials.field_key}
    assert passwords <= set(variables.values())
    assert variables["AEGIS_DOCKER_MILVUS_PORT"] == "29530"
    assert len(variables) == 5 + 8


def test_the_connector_is_the_same_as_natively_but_for_the_addresses(
    native: StackLayout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    natively = load(CONNECTOR, placeholders(load_settings()))
    for name, value in docker.WORKER_VIEW.items():
        monkeypatch.setenv(name, value)
    in_docker = load(CONNECTOR, placeholders(load_settings()))
    assert {key for key in natively if natively[key] != in_docker[key]} <= {
        "database.hostname",
        "database.port",
        "signal.kafka.bootstrap.servers",
    }
    assert in_docker["database.hostname"] == "postgres"
    assert in_docker["signal.kafka.bootstrap.servers"] == "kafka:9092"


def test_a_stack_never_started_has_no_environment_and_says_what_to_run(native: StackLayout) -> None:
    with pytest.raises(ConfigurationError, match="never started") as caught:
        docker.known_variables(docker.docker_layout(native))
    assert caught.value.hint == "aegis stack up --docker"


def test_states_are_those_of_the_native_stack() -> None:
    text = (
        container("postgres", health="healthy")
        + container("kafka", health="starting")
        + container("redis", "exited", code=143)
        + container("neo4j", "exited", code=1)
        + container("milvus", "restarting", code=2)
        + container("migrate", "exited")
        + container("processor")
    )
    rows = {row.service: row for row in docker.parse_status(text, docker.DEFAULT_PORTS)}
    assert {name: row.state for name, row in rows.items()} == {
        "postgres": "running",
        "kafka": "unhealthy",
        "registry": "stopped",
        "connect": "stopped",
        "elasticsearch": "stopped",
        "neo4j": "crashed",
        "redis": "stopped",
        "milvus": "crashed",
        "migrate": "stopped",
        "processor": "running",
    }
    assert (rows["postgres"].port, rows["postgres"].health) == (25432, "ok")
    assert (rows["kafka"].health, rows["processor"].health) == ("starting", None)


def test_without_docker_it_says_so_and_names_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="`docker` is not installed") as caught:
        docker.check()
    assert "aegis stack up" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ('[ "$1" != compose ]', "no compose plugin"),
        ('[ "$1" = compose ] || { echo "Cannot connect to it" >&2; exit 1; }', "Cannot connect to it"),
    ],
)
def test_a_docker_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, what: str
) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ConfigurationError, match=what):
        docker.check()
