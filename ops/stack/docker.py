"""The same servers in Docker: `aegis stack ... --docker` drives `docker compose` with compose.yaml.

Its endpoints, passwords and `.env.stack` are those of a second `StackLayout`, so that every command and test
of the checkout works on either stack.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ops.stack.credentials import Credentials, load_credentials
from ops.stack.environment import endpoints, write_env_file
from ops.stack.layout import ROOT, StackLayout, StackSettings
from ops.stack.process import StartFailed
from ops.stack.servers import SERVERS
from ops.stack.status import ServiceStatus, State
from ops.stack.supervisor import only_command
from processor.errors import ConfigurationError
from processor.settings import Block, read_block

COMPOSE_FILE: Final = ROOT / "compose.yaml"

DEFAULT_PORTS: Final = {
    "postgres": 25432,
    "kafka": 29092,
    "registry": 28081,
    "connect": 28083,
    "elasticsearch": 29200,
    "neo4j": 27687,
    "redis": 26379,
    "milvus": 29530,
}
"""Defaults of compose.yaml's AEGIS_DOCKER_<NAME>_PORT: those of the native stack and 10,000."""

WORKER_VIEW: Final = {
    "CONNECT_POSTGRES_HOST": "postgres",
    "CONNECT_POSTGRES_PORT": "5432",
    "CONNECT_KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
}
"""Connect runs in the network of the containers, where the ports of this machine mean nothing."""


class DockerSettings(Block):
    """What a user may choose, in the environment or in the checkout's `.env`."""

    model_config = SettingsConfigDict(env_prefix="AEGIS_DOCKER_", env_file=ROOT / ".env")

    postgres_port: int | None = Field(default=None, ge=1, le=65535)
    kafka_port: int | None = Field(default=None, ge=1, le=65535)
    registry_port: int | None = Field(default=None, ge=1, le=65535)
    connect_port: int | None = Field(default=None, ge=1, le=65535)
    elasticsearch_port: int | None = Field(default=None, ge=1, le=65535)
    neo4j_port: int | None = Field(default=None, ge=1, le=65535)
    redis_port: int | None = Field(default=None, ge=1, le=65535)
    milvus_port: int | None = Field(default=None, ge=1, le=65535)


def docker_layout(native: StackLayout) -> StackLayout:
    """Ports of the containers on this machine, and a folder of its own for their passwords.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    chosen, offset = read_block(DockerSettings), read_block(StackSettings).port_offset
    ports = {
        name: getattr(chosen, f"{name}_port") or default + offset for name, default in DEFAULT_PORTS.items()
    }
    return replace(
        native, state_dir=native.state_dir.with_name(f"{native.state_dir.name}-docker"), ports=ports
    )


def compose_variables(layout: StackLayout, credentials: Credentials) -> dict[str, str]:
    """What compose.yaml takes from the environment."""
    return {
        "POSTGRES_SUPERUSER_PASSWORD": credentials.postgres_superuser,
        "POSTGRES_PASSWORD": credentials.postgres_owner,
        "POSTGRES_DEBEZIUM_PASSWORD": credentials.postgres_debezium,
        "POSTGRES_PROCESSOR_PASSWORD": credentials.postgres_processor,
        "NEO4J_PASSWORD": credentials.neo4j,
        **{f"AEGIS_DOCKER_{name.upper()}_PORT": str(port) for name, port in layout.ports.items()},
    }


def known_variables(layout: StackLayout) -> dict[str, str]:
    """The endpoints, and what `docker compose` itself needs, of a stack that was started at least once.

    Raises:
        ConfigurationError: it never was, so it has no passwords yet.
    """
    _require_started(layout)
    credentials = load_credentials(layout)
    return {**endpoints(layout, credentials), **WORKER_VIEW, **compose_variables(layout, credentials)}


def up(layout: StackLayout, names: Sequence[str] = ()) -> None:
    """Build and start the named services and those they need (the servers for no name); wait until healthy.

    Raises:
        ConfigurationError: Docker or its compose plugin is missing, or its daemon does not answer.
        StartFailed: an image cannot be had, or a service does not become healthy. The others stay up.
    """
    check()
    with only_command(layout):
        credentials = load_credentials(layout)
        write_env_file(layout, credentials, WORKER_VIEW)
        wait = ["--wait", "--wait-timeout", str(int(layout.start_seconds))]
        _compose(layout, "up", "--detach", "--build", *wait, *(names or SERVERS))


def down(layout: StackLayout, names: Sequence[str] = ()) -> None:
    """Stop the named containers, or remove all (for no name); the volumes stay."""
    check()
    if not _started(layout):
        return
    with only_command(layout):
        _compose(layout, *(("stop", *names) if names else ("down", "--remove-orphans")))


def reset(layout: StackLayout) -> None:
    """Remove containers, volumes and passwords; the images stay."""
    check()
    with only_command(layout):
        _compose(layout, "down", "--volumes", "--remove-orphans")
        layout.credentials_file.unlink(missing_ok=True)
        # The native stack may have written its own endpoints there since.
        if layout.env_file.exists() and "CONNECT_POSTGRES_HOST=postgres\n" in layout.env_file.read_text():
            layout.env_file.unlink()


def logs(layout: StackLayout, service: str, *, lines: int, follow: bool) -> None:
    """Write the last lines of the service's containers to stdout; with `follow`, go on until interrupted."""
    check()
    _require_started(layout)
    _compose(layout, "logs", f"--tail={lines}", *(["--follow"] if follow else []), service)


def status(layout: StackLayout) -> list[ServiceStatus]:
    """All servers, and the other services that were started."""
    check()
    if not _started(layout):
        return parse_status("", layout.ports)
    done = subprocess.run(
        _argv("ps", "--all", "--format=json"),
        env=_environment(layout),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StartFailed(f"docker compose ps failed: {done.stderr.strip()}")
    return parse_status(done.stdout, layout.ports)


def parse_status(text: str, ports: Mapping[str, int]) -> list[ServiceStatus]:
    """Read `docker compose ps --format json`: one JSON object a line."""
    containers = {each["Service"]: each for each in map(json.loads, text.splitlines())}
    names = [*SERVERS, *sorted(containers.keys() - SERVERS.keys())]
    return [_status(name, containers.get(name), ports.get(name)) for name in names]


def _status(name: str, container: Mapping[str, Any] | None, port: int | None) -> ServiceStatus:
    if container is None:
        return ServiceStatus(name, "stopped", None, port, None, None)
    health = container["Health"]
    state: State
    if container["State"] == "running":
        state = "running" if health in ("", "healthy") else "unhealthy"
    else:  # 0: a job that is done; 143 (SIGTERM) and 137 (SIGKILL): stopped on purpose
        state = "stopped" if container["ExitCode"] in (0, 137, 143) else "crashed"
    return ServiceStatus(name, state, None, port, None, {"healthy": "ok", "": None}.get(health, health))


def check() -> None:
    """See that `docker compose` can be used.

    Raises:
        ConfigurationError: Docker or its compose plugin is missing, or its daemon does not answer.
    """
    native = "or without Docker: aegis stack up"
    if shutil.which("docker") is None:
        raise ConfigurationError(
            "the command `docker` is not installed",
            hint=f"install Docker Engine with its compose plugin, {native}",
        )
    if _ask("compose", "version").returncode:
        raise ConfigurationError(
            "docker has no compose plugin", hint=f"install docker-compose-plugin, {native}"
        )
    daemon = _ask("version", "--format={{.Server.Version}}")
    if daemon.returncode:
        why = daemon.stderr.strip().splitlines()[-1] if daemon.stderr.strip() else "no reason given"
        raise ConfigurationError(
            f"the Docker daemon does not answer: {why}",
            hint=f"start it (systemctl start docker), check DOCKER_HOST, {native}",
        )


def _ask(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *args], capture_output=True, text=True, check=False)


def _argv(*args: str) -> list[str]:
    return ["docker", "compose", "--project-directory", str(ROOT), "--file", str(COMPOSE_FILE), *args]


def _environment(layout: StackLayout) -> dict[str, str]:
    return {**os.environ, **compose_variables(layout, load_credentials(layout))}


def _compose(layout: StackLayout, *args: str) -> None:
    """Run compose on the user's terminal."""
    done = subprocess.run(_argv(*args), env=_environment(layout), check=False)
    if done.returncode:
        raise StartFailed(
            f"docker compose {args[0]} ended with exit code {done.returncode}",
            hint="aegis stack status --docker, and aegis stack logs --docker SERVICE of the one that failed",
        )


def _started(layout: StackLayout) -> bool:
    return layout.credentials_file.exists()


def _require_started(layout: StackLayout) -> None:
    if not _started(layout):
        raise ConfigurationError(
            "this checkout's stack in Docker was never started", hint="aegis stack up --docker"
        )
