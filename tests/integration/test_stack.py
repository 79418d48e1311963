"""The supervisor against real servers.

What only reads is asked of the checkout's own stack; what starts, kills and ends happens in a second stack
beside it, of the two servers that start within a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
import redis
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]
from dotenv import dotenv_values
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ops.stack import checkout, process
from ops.stack.layout import ROOT, StackLayout, load_layout
from ops.stack.servers import SERVERS
from ops.stack.servers.registry import API
from tests.integration.scratch_server import scratch_server

pytestmark = [pytest.mark.integration, pytest.mark.native("about the native stack itself")]

AEGIS = str(Path(sys.executable).with_name("aegis"))
SERVICES = ("postgres", "redis")


class Stack:
    """A second stack of this checkout, used as a person uses it: by its command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = dict(zip(SERVICES, _free_ports(), strict=True))
        self.env = {
            **os.environ,
            "AEGIS_STACK_DIR": str(folder),
            "AEGIS_STACK_ENV_FILE": str(folder / "endpoints"),
            **{f"AEGIS_{name.upper()}_PORT": str(port) for name, port in self.ports.items()},
        }

    def run(self, *args: str, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        command = [AEGIS, "stack", *args]
        done = subprocess.run(
            command, env={**self.env, **env}, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done

    def status(self, code: int = 0) -> dict[str, dict[str, Any]]:
        return {row["service"]: row for row in json.loads(self.run("status", "--json", code=code).stdout)}

    def pids(self) -> dict[str, int]:
        """As recorded; that the records are right is asserted with `status`."""
        return {file.stem: int(file.read_text()) for file in (self.folder / "pids").glob("*.pid")}

    def endpoints(self) -> dict[str, str]:
        values = dotenv_values(self.folder / "endpoints")
        return {name: value for name, value in values.items() if value}


@pytest.fixture(scope="module")
def second() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="aegis-test-"))
    folder.chmod(0o755)  # as root, the servers that run as `nobody` must be able to enter it
    stack = Stack(folder)
    yield stack
    stack.run("reset", "--yes")
    assert not (folder / "credentials.json").exists()
    assert not (folder / "postgres").exists()
    shutil.rmtree(folder)


@pytest.fixture
def running(second: Stack) -> Stack:
    second.run("up", *SERVICES)
    return second


@pytest.fixture(scope="module")
def own() -> StackLayout:
    return load_layout()


def test_up_of_a_running_stack_changes_nothing(running: Stack) -> None:
    before = running.pids()
    assert set(before) == set(SERVICES)
    again = running.run("up", *SERVICES)
    assert again.stderr.count("already running") == len(SERVICES)
    assert running.pids() == before


def test_a_checkout_made_anew_in_the_same_place_begins_with_empty_servers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with scratch_server("redis") as server:
        leader = server.process.pid
        folder = Path(server.process.cwd()).parent
        assert folder.name.startswith("aegis-test-")
        monkeypatch.setattr(checkout, "default_state_dir", lambda root: folder)
        monkeypatch.setattr(checkout, "ROOT", tmp_path / "first")
        server.up()  # claimed by nobody yet: of an earlier checkout
        assert server.process.pid != leader
        client = redis.Redis.from_url(server.endpoints["REDIS_URL"])
        client.set("row", "of the first checkout")
        leader = server.process.pid
        server.up()
        assert server.process.pid == leader
        assert client.get("row") == b"of the first checkout"
        monkeypatch.setattr(checkout, "ROOT", tmp_path / "second")
        server.up()
        assert server.process.pid != leader
        assert redis.Redis.from_url(server.endpoints["REDIS_URL"]).keys() == []


def test_status_shows_state_pid_port_memory_and_health(running: Stack) -> None:
    rows = running.status()
    assert list(rows) == list(SERVERS)
    assert {name: row["pid"] for name, row in rows.items() if row["pid"]} == running.pids()
    for name in SERVICES:
        row = rows[name]
        assert row["state"] == "running"
        assert row["health"] == "ok"
        assert row["port"] == running.ports[name]
        assert row["memory_mb"] > 0
        assert psutil.Process(row["pid"]).environ()["AEGIS_SERVICE"] == str(running.folder / name)
    stopped = rows["kafka"]
    assert (stopped["state"], stopped["pid"], stopped["memory_mb"], stopped["health"]) == (
        "stopped",
        None,
        None,
        None,
    )


def test_killed_servers_come_back_with_their_data(running: Stack) -> None:
    endpoints, before = running.endpoints(), running.pids()
    with psycopg.connect(endpoints["POSTGRES_DSN"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
        connection.execute("INSERT INTO kept VALUES ('청년')")
    with redis.Redis.from_url(endpoints["REDIS_URL"]) as cache:
        cache.set("kept", "청년")
    killed = [psutil.Process(pid) for pid in before.values()]
    for server in killed:
        server.kill()
    assert process.await_end(killed, 10) == []
    assert {
        name: row["state"] for name, row in running.status(code=1).items() if name in SERVICES
    } == dict.fromkeys(SERVICES, "crashed")

    running.run("up", *SERVICES)
    with psycopg.connect(endpoints["POSTGRES_DSN"]) as connection:
        assert connection.execute("SELECT text FROM kept").fetchall() == [("청년",)]
        connection.execute("DROP TABLE kept")
    with redis.Redis.from_url(endpoints["REDIS_URL"], decode_responses=True) as cache:
        assert cache.get("kept") == "청년"
    assert set(running.pids().values()).isdisjoint(before.values())


def test_down_ends_exactly_its_own_processes(running: Stack, own: StackLayout) -> None:
    ours = {psutil.Process(pid) for pid in running.pids().values()}
    ours |= {child for server in ours for child in server.children(recursive=True)}
    others = {name: process.recorded_pid(own, name) for name in SERVERS}
    # A program beside the servers, as the demo starts the processor.
    layout = StackLayout(own.cache_dir, running.folder, running.folder / "endpoints", own.ports)
    ours.add(
        psutil.Process(process.start(layout, "processor", ["sleep", "600"], {"PATH": os.environ["PATH"]}))
    )
    # A record whose pid was given to somebody else: the bystander must not be harmed.
    bystander = subprocess.Popen(["sleep", "600"])
    (running.folder / "pids" / "neo4j.pid").write_text(str(bystander.pid))
    try:
        running.run("down")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert process.await_end(ours, 0) == []
    assert running.pids() == {}
    assert {name: process.recorded_pid(own, name) for name in SERVERS} == others
    assert "nothing was running" in running.run("down").stderr


def test_an_up_that_was_killed_half_way_is_repaired_by_the_next_one(second: Stack) -> None:
    second.run("reset", "--yes")
    command = [AEGIS, "stack", "up", *SERVICES]
    up = subprocess.Popen(command, env=second.env, cwd=ROOT, stderr=subprocess.DEVNULL)
    _await((second.folder / "postgres" / "cluster.partial").exists)
    up.kill()
    up.wait()
    second.run("up", *SERVICES)
    assert set(second.pids()) == set(SERVICES)
    with psycopg.connect(second.endpoints()["POSTGRES_DSN"]) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("aegis", "aegis")


def test_a_taken_port_is_named_with_its_holder_and_the_setting(second: Stack) -> None:
    second.run("down")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        failed = second.run("up", "redis", code=1, AEGIS_REDIS_PORT=str(port))
    assert f"redis cannot start: port {port} is in use by process {os.getpid()}" in failed.stderr
    assert "AEGIS_PORT_OFFSET" in failed.stderr


def test_settings_changed_under_a_running_server_are_noticed_at_once(running: Stack) -> None:
    failed = running.run("up", "redis", code=1, AEGIS_REDIS_PORT="16999")
    assert f"redis runs on port {running.ports['redis']}, but the settings now say 16999" in failed.stderr
    assert "next: aegis stack down; aegis stack up" in failed.stderr


def test_a_server_that_ends_while_starting_is_reported_with_the_end_of_its_log(second: Stack) -> None:
    second.run("down")
    aof = second.folder / "redis" / "appendonlydir"
    shutil.rmtree(aof, ignore_errors=True)
    aof.write_text("a file where the server needs a folder")
    failed = second.run("up", "redis", code=1)
    aof.unlink()
    assert f"redis ended while starting; the end of {second.folder / 'logs' / 'redis.log'}:" in failed.stderr
    assert "appendonlydir" in failed.stderr
    assert "next: aegis stack logs redis" in failed.stderr


def test_the_owner_role_can_do_what_migrations_need_without_being_superuser(running: Stack) -> None:
    with psycopg.connect(running.endpoints()["POSTGRES_DSN"], autocommit=True) as connection:
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        assert row == (False,)
        assert connection.execute("SHOW wal_level").fetchone() == ("logical",)
        with connection.transaction(force_rollback=True):
            connection.execute("CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'x'")
            connection.execute("CREATE TABLE captured (id int PRIMARY KEY)")
            connection.execute("ALTER TABLE captured REPLICA IDENTITY FULL")
            connection.execute("CREATE PUBLICATION p FOR TABLE captured")
            connection.execute("GRANT SELECT ON captured TO replicator")


def test_every_server_of_the_checkout_answers() -> None:
    rows = json.loads(
        subprocess.run([AEGIS, "stack", "status", "--json"], cwd=ROOT, capture_output=True, check=True).stdout
    )
    assert {row["service"]: row["health"] for row in rows if row["service"] in SERVERS} == dict.fromkeys(
        SERVERS, "ok"
    )
    assert sum(row["memory_mb"] for row in rows if row["memory_mb"]) < 6_000


def test_connect_knows_debezium_and_writes_avro_values_under_json_keys(own: StackLayout) -> None:
    plugins = httpx.get(own.url("connect") + "/connector-plugins?connectorsOnly=false").json()
    versions = {plugin["class"]: plugin.get("version") for plugin in plugins}
    assert versions["io.debezium.connector.postgresql.PostgresConnector"] == "3.7.0.Final"
    assert "io.confluent.connect.avro.AvroConverter" in versions
    worker = (own.data("connect") / "worker.properties").read_text()
    assert "key.converter.schemas.enable=false" in worker
    assert f"value.converter.schema.registry.url={own.url('registry')}{API}" in worker


def test_the_broker_takes_large_records_and_invents_no_topics(own: StackLayout) -> None:
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{own.ports['kafka']}"})
    resource = ConfigResource(ConfigResource.Type.BROKER, "1")
    config = admin.describe_configs([resource])[resource].result(10)
    assert int(config["message.max.bytes"].value) == 16 * 1024**2 + 64 * 1024
    assert config["auto.create.topics.enable"].value == "false"


def test_the_index_analyses_korean(own: StackLayout) -> None:
    answer = httpx.post(
        own.url("elasticsearch") + "/_analyze", json={"analyzer": "nori", "text": "청년창업을 지원합니다"}
    ).json()
    assert [token["token"] for token in answer["tokens"]][:3] == ["청년", "창업", "지원"]


def _free_ports() -> Iterator[int]:
    """One per service, all held open until all are known."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in SERVICES]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in probes]
    yield from ports


def _await(condition: Any) -> None:
    Retrying(wait=wait_fixed(0.002), stop=stop_after_delay(30), retry=retry_if_result(lambda met: not met))(
        condition
    )
