"""compose.yaml against the rules that docs/docker.md states, and against the native stack's configuration."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.stack.docker import COMPOSE_FILE, DEFAULT_PORTS
from ops.stack.layout import ROOT
from ops.stack.servers import SERVERS
from tests.unit.nightly import NIGHTLY, asked, parsed, setting_names

COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {"migrate", "connector", "aegis", "reconcile"}
WITHOUT_HEALTH_CHECK = JOBS | {"processor"}
"""Jobs and commands end; the processor ends when it cannot go on."""
DOCKERFILES = sorted([ROOT / "Dockerfile", *ROOT.glob("docker/*/Dockerfile")])


def native(file: str) -> dict[str, str]:
    """The settings of a server's configuration file."""
    lines = (ROOT / "stack" / file).read_text().splitlines()
    pairs = (re.split(r"\s*=\s*|: | ", line, maxsplit=1) for line in lines if line and line[0] != "#")
    return {name: value.split(" #")[0].strip().strip("'\"") for name, value in pairs}


def from_variables(service: str, prefix: str) -> dict[str, str]:
    """The settings that an image makes of `PREFIX_A_B` variables, `a.b`."""
    environment = SERVICES[service]["environment"].items()
    return {
        name.removeprefix(prefix).lower().replace("_", "."): value
        for name, value in environment
        if name.startswith(prefix)
    }


def test_it_holds_the_servers_of_the_native_stack_the_jobs_and_the_processor() -> None:
    assert SERVICES.keys() == SERVERS.keys() | JOBS | {"processor"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_is_pinned_by_a_tag(service: str) -> None:
    name, colon, tag = SERVICES[service]["image"].rpartition(":")
    assert (name, colon) != ("", "")
    assert tag not in ("", "latest")


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_every_base_image_is_pinned_and_nothing_needs_buildkit(file: Path) -> None:
    text = file.read_text()
    assert "# syntax" not in text
    assert "--mount" not in text
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert bases
    assert [base for base in bases if re.search(r":(?!latest$)[\w.-]+$", base) is None] == []


@pytest.mark.parametrize("service", DEFAULT_PORTS)
def test_every_server_is_published_on_loopback_at_a_port_that_the_environment_may_change(
    service: str,
) -> None:
    (published,) = SERVICES[service]["ports"]
    host, variable = published.split(":", 1)
    assert host == "127.0.0.1"
    expected = rf"\$\{{AEGIS_DOCKER_{service.upper()}_PORT:-{DEFAULT_PORTS[service]}\}}:\d+"
    assert re.fullmatch(expected, variable)


def test_nothing_else_is_published() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == DEFAULT_PORTS.keys()


def test_every_service_that_can_be_asked_has_a_health_check() -> None:
    without = {name for name, service in SERVICES.items() if "healthcheck" not in service}
    assert without == WITHOUT_HEALTH_CHECK


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_limits_of_memory_and_logs_and_a_restart_policy(service: str) -> None:
    assert SERVICES[service]["mem_limit"]
    assert SERVICES[service]["logging"]["options"].keys() == {"max-size", "max-file"}
    assert SERVICES[service]["restart"] == ("no" if service in JOBS else SERVICES[service]["restart"])


def test_all_limits_together_fit_a_laptop_of_16_gb() -> None:
    units = {"m": 1, "g": 1024}
    limits = [service["mem_limit"] for name, service in SERVICES.items() if name not in JOBS]
    assert sum(int(limit[:-1]) * units[limit[-1]] for limit in limits) <= 12 * 1024


def test_every_password_is_asked_for_and_none_is_written_down() -> None:
    text = COMPOSE_FILE.read_text()
    secrets = re.findall(r"^ *\w*(?:PASSWORD|AUTH): (?:neo4j/)?(.*)$", text, re.MULTILINE)
    assert len(secrets) >= 9
    assert [secret for secret in secrets if not re.fullmatch(r"\$\{\w+:\?see docs/docker.md\}", secret)] == []


def test_the_processor_gets_no_password_but_those_it_uses() -> None:
    secrets = {name for name in SERVICES["processor"]["environment"] if "PASSWORD" in name}
    assert secrets == {"POSTGRES_PROCESSOR_PASSWORD", "NEO4J_PASSWORD"}


def test_only_who_seeds_and_rotates_gets_the_keys_of_encrypted_fields() -> None:
    holders = {name for name, service in SERVICES.items() if "FIELD_KEYS" in service.get("environment", {})}
    assert holders == {"aegis"}


def test_the_nightly_run_is_asked_for_by_its_profile_and_does_what_every_schedule_does() -> None:
    service = SERVICES["reconcile"]
    assert service["profiles"] == ["reconcile"]
    assert asked(service["command"]) == NIGHTLY
    other = SERVICES["aegis"]["environment"].keys() - {"FIELD_KEYS", "FIELD_KEYS_CURRENT"}
    assert service["environment"].keys() - {"NOTIFY_URLS"} == other
    assert service["environment"].keys() <= setting_names()
    files = {value.parent for value in parsed(service["command"]).values() if isinstance(value, Path)}
    mounts = {Path(volume.split(":")[1]) for volume in service["volumes"]}
    assert files == {Path("/reports")}
    assert files < mounts
    # a volume belongs to whom the folder in the image belongs to
    assert re.search(r"install -d -o aegis -g aegis .*/reports\b", (ROOT / "Dockerfile").read_text())


def test_data_is_kept_in_named_volumes() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    named = {volume for volume in used if not volume.startswith("./")}
    assert named == COMPOSE["volumes"].keys()
    assert named >= DEFAULT_PORTS.keys() - {"connect"}  # which keeps everything in Kafka
    assert all(len(volume) > 1 for volume in named)


@pytest.mark.parametrize("file", [".env.example", "docs/docker.md"])
def test_every_variable_is_documented(file: str) -> None:
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE_FILE.read_text()))
    assert {name for name in asked if name not in (ROOT / file).read_text()} == set()


def test_connect_runs_with_the_settings_of_the_native_worker() -> None:
    own_names = {
        "BOOTSTRAP_SERVERS": "bootstrap.servers",
        "ADVERTISED_HOST_NAME": "rest.advertised.host.name",
        "SHUTDOWN_TIMEOUT": "task.shutdown.graceful.timeout.ms",
    }
    environment = SERVICES["connect"]["environment"]
    renamed = {
        own_names.get(name, name.lower().replace("_", ".")): value
        for name, value in environment.items()
        if not name.startswith("CONNECT_") and name not in ("HEAP_OPTS", "POSTGRES_DEBEZIUM_PASSWORD")
    }
    in_docker = renamed | from_variables("connect", "CONNECT_")
    elsewhere = {
        "bootstrap.servers",
        "rest.advertised.host.name",
        "value.converter.schema.registry.url",
    }
    by_the_image = {"listeners", "rest.advertised.port", "plugin.path"}
    worker = native("connect/worker.properties")
    assert in_docker.keys() == worker.keys() - by_the_image
    assert {name: value for name, value in in_docker.items() if name not in elsewhere} == {
        name: worker[name] for name in in_docker if name not in elsewhere
    }
    assert in_docker["value.converter.schema.registry.url"].endswith("/apis/ccompat/v7")


def test_the_broker_runs_with_the_settings_of_the_native_one() -> None:
    broker = native("kafka/server.properties")
    in_docker = from_variables("kafka", "KAFKA_")
    elsewhere = {name for name in broker if "listener" in name or "quorum" in name} | {"log.dirs"}
    extra = {"heap.opts", "controller.quorum.voters"}
    assert {name: value for name, value in in_docker.items() if name not in elsewhere | extra} == {
        name: value for name, value in broker.items() if name not in elsewhere
    }


def test_elasticsearch_runs_with_the_settings_of_the_native_one() -> None:
    of_the_full_server = {"xpack.ml.enabled", "ingest.geoip.downloader.enabled", "ES_JAVA_OPTS"}
    of_the_place = {"network.host", "http.port", "transport.port", "path.data", "path.logs"}
    in_docker = SERVICES["elasticsearch"]["environment"]
    wanted = {n: v for n, v in native("elasticsearch/elasticsearch.yml").items() if n not in of_the_place}
    assert {n: v for n, v in in_docker.items() if n not in of_the_full_server} == wanted


def test_neo4j_runs_with_the_settings_of_the_native_one() -> None:
    variables = SERVICES["neo4j"]["environment"].items()
    in_docker = {
        name.removeprefix("NEO4J_").replace("__", "-").replace("_", ".").replace("-", "_"): value
        for name, value in variables
        if name != "NEO4J_AUTH"
    }
    of_the_place = {"security.auth", "http", "https", "listen", "bolt"}
    wanted = native("neo4j/neo4j.conf").items()
    assert in_docker == {n: v for n, v in wanted if not any(part in n for part in of_the_place)}


def test_redis_runs_with_the_settings_of_the_native_one() -> None:
    options = SERVICES["redis"]["command"][1:]
    in_docker = dict(zip((name.removeprefix("--") for name in options[::2]), options[1::2], strict=True))
    of_the_place = {"bind", "port", "dir", "daemonize", "set-proc-title"}
    wanted = native("redis/valkey.conf").items()
    assert in_docker == {name: value for name, value in wanted if name not in of_the_place}


def test_postgres_runs_with_the_settings_that_replication_needs() -> None:
    options = [option.removeprefix("-c") for option in SERVICES["postgres"]["command"][1:]]
    in_docker = dict(option.split("=", 1) for option in options)
    wanted = native("postgres/postgresql.conf")
    assert in_docker == {name: wanted[name] for name in in_docker}
    assert in_docker["wal_level"] == "logical"
    assert in_docker["max_slot_wal_keep_size"] == "4GB"


def test_the_images_have_the_versions_of_the_native_stack() -> None:
    def artifact(pom: str, name: str) -> str:
        text = re.sub(r"\s", "", (ROOT / "stack" / pom).read_text())
        properties: dict[str, str] = dict(re.findall(r"<([\w.]+\.version)>(.*?)</", text))
        # The pom itself may bear the same name: it comes first.
        version: str = re.findall(rf"<artifactId>{name}</artifactId><version>(.*?)</version>", text)[-1]
        return properties.get(version.strip("${}"), version)

    def tag(service: str) -> str:
        return str(SERVICES[service]["image"]).rpartition(":")[2]

    assert tag("kafka") == artifact("kafka/pom.xml", "kafka_2.13")
    assert tag("connect") == artifact("connect/pom.xml", "debezium-connector-postgres")
    assert tag("registry") == artifact("registry/pom.xml", "apicurio-registry-app")
    assert tag("elasticsearch") == artifact("elasticsearch/pom.xml", "elasticsearch")
    assert tag("neo4j") == artifact("neo4j/pom.xml", "neo4j") + "-community"
    for service in ("connect", "registry", "elasticsearch"):
        assert f":{tag(service)}\n" in (ROOT / "docker" / service / "Dockerfile").read_text()


def test_every_package_of_the_command_gets_into_the_image() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert set(packages["packages"]) <= allowed
