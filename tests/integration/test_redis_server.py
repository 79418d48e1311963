"""A cache in trouble: without memory, read-only, busy, locked, killed, frozen; on a server of its own."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from processor.errors import Misconfigured, Unavailable
from processor.settings import RedisSettings
from processor.stamp import Stamp
from processor.stores.base import Applied, Held, Put, Remove, Restamp
from processor.stores.redis import RedisStore
from processor.tables.base import View
from tests.conformance import VIEW_FIELDS, body
from tests.integration.scratch_server import ScratchServer, free_port, scratch_server
from tests.integration.writer import Writer

pytestmark = pytest.mark.native("kills, starves and freezes a server of its own")

STAMP, LATER = Stamp(1, 1, 1, "f"), Stamp(2, 2, 2, "f")
RIGHTS = "+evalsha +script|load +script|exists +type +getrange +get +set +unlink +scan +ping +info"
"""All that an account of the processor needs."""


@pytest.fixture(scope="module")
def server() -> Iterator[ScratchServer]:
    with scratch_server("redis") as server:
        yield server


@pytest.fixture
def settings(server: ScratchServer) -> RedisSettings:
    url = server.endpoints["REDIS_URL"]
    return RedisSettings.model_validate({"url": url, "timeout_seconds": 1})


@pytest.fixture
def raw(settings: RedisSettings) -> Iterator[Redis]:
    with Redis.from_url(settings.url) as client:
        yield client
        client.flushall()


@pytest.fixture
def view() -> View:
    return View(store="redis", name=f"test-{uuid.uuid4().hex}", fields=VIEW_FIELDS)


@pytest.fixture
def store(settings: RedisSettings, view: View, raw: Redis) -> Iterator[RedisStore]:
    store = RedisStore(settings)
    store.ensure(view)
    yield store
    store.close()


@contextmanager
def configured(raw: Redis, name: str, value: str | int) -> Iterator[None]:
    before = str(raw.config_get(name)[name])
    raw.config_set(name, value)
    try:
        yield
    finally:
        raw.config_set(name, before)


def put(key: str, stamp: Stamp = STAMP, expected: Held | None = None, gone: str | None = None) -> Put:
    invalidates = frozenset({gone} if gone else ())
    return Put(key, expected, stamp, body(str(stamp.version)), invalidates=invalidates)


def held(store: RedisStore, view: View, key: str = "k") -> Held:
    return store.stamps(view, [key])[key]


def test_without_memory_nothing_is_half_written_and_removals_still_pass(
    store: RedisStore, view: View, raw: Redis
) -> None:
    store.apply(view, [put("k")])
    raw.set("computed", "of the old row")
    before = held(store, view)
    with configured(raw, "maxmemory", 1):
        for write in (put("k", LATER, before, "computed"), Restamp("k", before, LATER), put("new")):
            with pytest.raises(Unavailable, match="OOM") as caught:
                store.apply(view, [write])
            assert "maxmemory-policy volatile-ttl" in str(caught.value.hint)
        assert store.read(view, ["k", "new"])["k"].body == body("1")
        assert list(store.scan(view)) == [("k", STAMP)]
        assert raw.get("computed") == b"of the old row"
        assert store.apply(view, [Remove("k", before, frozenset({"computed"}))]) == [Applied()]
    assert raw.keys() == []


def test_a_server_that_evicts_makes_room_and_loses_only_entries(
    store: RedisStore, view: View, raw: Redis
) -> None:
    room = raw.info("memory")["used_memory"] + 2_000_000
    keys = [f"k-{n}" for n in range(5_000)]
    with configured(raw, "maxmemory-policy", "volatile-ttl"), configured(raw, "maxmemory", room):
        for start in range(0, len(keys), 500):
            assert store.apply(view, [put(key) for key in keys[start : start + 500]]) == [Applied()] * 500
        scanned = list(store.scan(view))
    assert 0 < len(scanned) < len(keys)
    assert {stamp for _, stamp in scanned} == {STAMP}


def test_a_replica_is_read_and_not_written(store: RedisStore, view: View, raw: Redis) -> None:
    store.apply(view, [put("k")])
    before = held(store, view)
    raw.replicaof("127.0.0.1", "9")
    try:
        for write in (put("k", LATER, before), Remove("k", before)):
            with pytest.raises(Unavailable, match="READONLY") as caught:
                store.apply(view, [write])
            assert "primary" in str(caught.value.hint)
        assert held(store, view).stamp == STAMP
        with (
            configured(raw, "replica-serve-stale-data", "no"),
            pytest.raises(Unavailable, match="MASTERDOWN"),
        ):
            store.stamps(view, ["k"])
    finally:
        raw.replicaof("NO", "ONE")


def test_a_busy_server_is_unavailable(store: RedisStore, settings: RedisSettings, raw: Redis) -> None:
    with (
        configured(raw, "busy-reply-threshold", 1),
        ThreadPoolExecutor(1) as threads,
        Redis.from_url(settings.url) as other,
    ):
        endless = threads.submit(other.eval, "while true do end", 0)
        try:
            with pytest.raises(Unavailable, match="BUSY"):
                while not endless.done():
                    store.ping()
        finally:
            raw.script_kill()
        assert "killed" in str(endless.exception())


def test_scripts_that_the_server_forgot_are_sent_again(store: RedisStore, view: View, raw: Redis) -> None:
    for n in range(1, 4):
        raw.script_flush()
        before = store.stamps(view, ["k"]).get("k")
        raw.script_flush()
        assert store.apply(view, [put("k", Stamp(n, n, n, "f"), before)]) == [Applied()]


def test_a_locked_server_is_a_misconfiguration(settings: RedisSettings, view: View, raw: Redis) -> None:
    with configured(raw, "requirepass", "s3cret"):
        for password, reason in (("", "required"), ("wrong", "invalid")):
            store = RedisStore(settings.model_copy(update={"password": SecretStr(password)}))
            with pytest.raises(Misconfigured, match=reason) as caught:
                store.stamps(view, ["k"])
            assert "REDIS_PASSWORD" in str(caught.value.hint)
            store.close()
        store = RedisStore(settings.model_copy(update={"password": SecretStr("s3cret")}))
        store.ping()
        store.close()


def test_an_account_with_few_rights_will_do(settings: RedisSettings, view: View, raw: Redis) -> None:
    account = {"user": "app", "password": SecretStr("it's s3cret:/@")}
    raw.acl_setuser(
        "app", enabled=True, reset=True, passwords="+it's s3cret:/@", keys="*", commands=RIGHTS.split()
    )
    try:
        store = RedisStore(settings.model_copy(update=account))
        store.ensure(view)
        store.ping()
        assert store.apply(view, [put("k", gone="computed")]) == [Applied()]
        assert store.apply(view, [Restamp("k", held(store, view), LATER)]) == [Applied()]
        assert store.read(view, ["k"])["k"].body == body("1")
        assert list(store.scan(view)) == [("k", LATER)]
        assert store.apply(view, [Remove("k", held(store, view))]) == [Applied()]
        raw.acl_setuser("app", commands=["-set"])
        with pytest.raises(Misconfigured, match="set") as caught:
            store.apply(view, [put("k")])
        assert "rights" in str(caught.value.hint)
        store.close()
    finally:
        raw.acl_deluser("app")


def test_a_cluster_is_a_misconfiguration(server: ScratchServer, view: View, tmp_path: Path) -> None:
    port = free_port()
    options = {
        "port": port,
        "cluster-enabled": "yes",
        "cluster-port": free_port(),
        "save": "",
        "dir": tmp_path,
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    node = subprocess.Popen([server.process.exe(), *arguments], stdout=subprocess.DEVNULL)
    try:
        store = RedisStore(RedisSettings.model_validate({"url": f"redis://127.0.0.1:{port}"}))
        answers = Retrying(
            retry=retry_if_exception_type(Unavailable), wait=wait_fixed(0.02), stop=stop_after_delay(30)
        )
        with pytest.raises(Misconfigured, match="is a Redis Cluster") as caught:
            answers(store.ensure, view)
        assert "cluster-enabled no" in str(caught.value.hint)
        store.close()
    finally:
        node.kill()
        node.wait()


def test_a_scan_does_not_go_on_with_another_servers_cursor(
    server: ScratchServer, store: RedisStore, view: View
) -> None:
    for start in range(0, 10_000, 1_000):
        store.apply(view, [put(f"k-{n}") for n in range(start, start + 1_000)])
    pages = store._pages(view)
    first, _ = next(pages)
    assert 0 < len(first) < 10_000
    server.kill()
    server.up()
    with pytest.raises(Unavailable):
        list(pages)
    assert sum(1 for _ in store.scan(view)) == 10_000


def test_what_was_acknowledged_survives_kills_and_a_freeze(
    server: ScratchServer, settings: RedisSettings, view: View, raw: Redis
) -> None:
    store = RedisStore(settings.model_copy(update={"timeout_seconds": 0.2}))
    death = (server.kill, server.up)
    Writer(store, view).live_through(death, (server.freeze, server.thaw), death)
    store.close()
