"""Readers whose Redis is stopped, killed, frozen, read-only or full, or whose PostgreSQL is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from processor.errors import ConfigurationError, SourceError
from processor.settings import Settings
from sql.migrate import Roles
from tests.integration.cache import (
    POLICIES,
    Scene,
    after_the_read,
    cache_database,
    count,
    queries,
    scene,
)
from tests.integration.scratch_server import ScratchServer, free_port, scratch_server
from tests.integration.test_redis_server import configured

pytestmark = pytest.mark.native("kills, starves and freezes a server of its own")
RIGHTS = "+get +evalsha +script|load +exists +set +unlink +client|tracking"
"""All that an account of readers needs."""


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    with scratch_server("redis") as server:
        yield server


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[tuple[sa.Engine, Roles]]:
    with cache_database(settings) as made:
        yield made


@pytest.fixture
def here(settings: Settings, database: tuple[sa.Engine, Roles], server: ScratchServer) -> Iterator[Scene]:
    with scene(settings, *database, url=server.endpoints["REDIS_URL"]) as made:
        yield made


def row(here: Scene, key: str = "P1") -> dict[str, object]:
    return here.shown(POLICIES)[key]


def errors() -> float:
    return count("errors", work="read") + count("errors", work="write")


def test_without_redis_answers_come_from_postgresql_and_it_is_asked_once_in_a_while(here: Scene) -> None:
    client, before = here.client({"url": f"redis://127.0.0.1:{free_port()}/0"}, pause_seconds=3_600), errors()
    for _ in range(5):
        assert client.get("policies", "P1") == row(here)
        assert client.quality_score("P1") == 0.9
        assert client.keys("policies:region", "11") == ["P1"]
        assert client.get("policies", "none") is None
    assert errors() - before == 1


def test_a_server_that_was_killed_is_used_again_when_it_is_back_and_nothing_old_is_shown(
    here: Scene, server: ScratchServer
) -> None:
    client = here.client(pause_seconds=0)
    for _ in range(3):
        client.get("policies", "P1")
    server.kill()
    try:
        with here.open() as work:
            work.update("policies", {"policy_id": "P1"}, title="새 제목")
        assert client.get("policies", "P1") == row(here)
    finally:
        server.up()
    here.process(work.changes)
    with queries(client) as counted:
        assert client.get("policies", "P1") == row(here)
        assert counted.statements == []  # the processor's entry, from the new server


def test_a_frozen_server_holds_nobody_up_but_the_first(here: Scene, server: ScratchServer) -> None:
    client, before = here.client(timeout_seconds=0.2, pause_seconds=3_600), errors()
    client.get("policies", "P1")
    server.freeze()
    try:
        for _ in range(20):
            assert client.get("policies", "P1") == row(here)
        assert errors() - before == 1
    finally:
        server.thaw()


def test_a_server_that_freezes_between_reading_and_writing_costs_the_entry_only(
    here: Scene, server: ScratchServer
) -> None:
    client = here.client(timeout_seconds=0.2)
    after_the_read(client, server.freeze)
    try:
        assert client.get("policies", "P1") == row(here)
    finally:
        server.thaw()


@pytest.mark.parametrize("trouble", ["memory", "replica"])
def test_where_nothing_can_be_written_entries_are_still_read(here: Scene, trouble: str) -> None:
    client = here.client(pause_seconds=3_600)
    client.get("policies", "P1")
    before, reads = count("errors", work="write"), count("errors", work="read")
    if trouble == "replica":
        here.raw.replicaof("127.0.0.1", "9")
    try:
        with configured(here.raw, "maxmemory", 1 if trouble == "memory" else 0), queries(client) as counted:
            for _ in range(3):
                assert client.get("policies", "P2") == row(here, "P2")
                assert client.get("policies", "P1") == row(here)
            assert len(counted.statements) == 3  # P1 came from Redis
    finally:
        if trouble == "replica":
            here.raw.replicaof("NO", "ONE")
    assert (count("errors", work="write") - before, count("errors", work="read") - reads) == (1, 0)
    assert here.names() == {"policy:P1"}


def test_after_a_pause_the_client_writes_again_by_itself(here: Scene) -> None:
    client = here.client(pause_seconds=0)
    with configured(here.raw, "maxmemory", 1):
        assert client.get("policies", "P1") == row(here)
    assert here.names() == set()
    assert client.get("policies", "P1") == row(here)
    assert here.names() == {"policy:P1"}


def test_an_account_with_few_rights_will_do_and_one_with_fewer_goes_without_redis(here: Scene) -> None:
    prefix = here.redis.key_prefix
    here.raw.acl_setuser(
        "reader", enabled=True, reset=True, passwords="+s3cret", keys=f"{prefix}*", commands=RIGHTS.split()
    )
    account = {"user": "reader", "password": SecretStr("s3cret")}
    try:
        client, before = here.client(account), errors()
        assert [client.get("policies", "P1") for _ in range(3)] == [row(here)] * 3
        assert errors() == before
        assert here.names() == {"policy:P1"}
        here.raw.acl_setuser("reader", commands=["-client|tracking"])
        without = here.client(account)
        assert without.get("policies", "P1") == row(here)
        assert errors() - before == 1
    finally:
        here.raw.acl_deluser("reader")


def test_a_wrong_password_goes_without_redis_and_is_logged_without_the_password(
    here: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    client = here.client({"user": "nobody", "password": SecretStr("s3cret")})
    assert client.get("policies", "P1") == row(here)
    assert "the cache is not used for a while: redis: " in caplog.text
    assert "s3cret" not in caplog.text


def test_without_postgresql_entries_are_still_read_and_a_miss_says_what_to_do(here: Scene) -> None:
    here.client().get("policies", "P1")
    expected = row(here)
    here.postgres = here.postgres.model_copy(update={"port": free_port()})
    client = here.client()
    assert client.get("policies", "P1") == expected
    with pytest.raises(SourceError, match="postgresql at") as caught:
        client.get("policies", "P2")
    assert caught.value.hint == "aegis stack up postgres"
    assert here.names() == {"policy:P1"}


def test_a_postgresql_that_was_restarted_fails_nobody(here: Scene) -> None:
    client = here.client()
    client.get("policies", "P1")
    engine = sa.create_engine(here.postgres.processor_url(), poolclass=sa.NullPool)
    with engine.connect() as connection:  # a role may end what is its own
        others = "usename = current_user AND pid <> pg_backend_pid()"
        query = f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE {others}"
        ended = connection.execute(sa.text(query))
        assert list(ended.scalars()) == [True]
    assert client.get("policies", "P2") == row(here, "P2")


def test_all_connections_busy_is_said(here: Scene) -> None:
    client = here.client(postgres_connections=1, postgres_seconds=1)
    with client._source._engine.connect():
        with pytest.raises(SourceError, match="all our connections are busy") as error:
            client.get("policies", "P2")
        assert "pg_stat_activity" in str(error.value.hint)


def test_a_missing_right_names_the_command(here: Scene) -> None:
    role = f'"{here.postgres.processor_user}"'
    client = here.client()
    with here.engine.begin() as connection:
        connection.execute(sa.text(f"REVOKE SELECT ON quality_metrics FROM {role}"))
    try:
        with pytest.raises(ConfigurationError, match="permission denied") as caught:
            client.quality_score("P1")
        assert caught.value.hint == "aegis migrate"
    finally:
        with here.engine.begin() as connection:
            connection.execute(
                sa.text(
                    f"GRANT SELECT (id, policy_id, total_score, calculated_at) ON quality_metrics TO {role}"
                )
            )
