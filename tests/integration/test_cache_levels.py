"""The memory of a reader's process: right while Redis tells of changes, empty when it may not have told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from reader.tracked import Tracked
from tests.integration.cache import (
    POLICIES,
    Scene,
    count,
    database,
    heard,
    here,
    queries,
)

__all__ = ["database", "here"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tracked(here: Scene, clock: Clock) -> Iterator[Tracked]:
    made = Tracked(here.redis, timeout_seconds=5, entries=3, seconds=300, clock=clock)
    yield made
    made.close()


def put(here: Scene, name: str, text: str) -> None:
    here.raw.set(f"{here.redis.key_prefix}{name}", text)


def test_what_is_kept_is_not_asked_for_again_until_it_is_too_old(
    here: Scene, tracked: Tracked, clock: Clock
) -> None:
    put(here, "a", "1")
    assert tracked.get("a") == (b"1", True)
    clock.now = 299
    assert tracked.get("a") == (b"1", False)
    clock.now = 300
    assert tracked.get("a") == (b"1", True)


def test_what_is_absent_is_asked_for_again(here: Scene, tracked: Tracked) -> None:
    assert tracked.get("a") == (None, True)
    assert tracked.get("a") == (None, True)
    put(here, "a", "1")
    assert tracked.get("a") == (b"1", True)


def test_the_least_recently_used_entry_gives_way(here: Scene, tracked: Tracked) -> None:
    for name in "abc":
        put(here, name, name)
        tracked.get(name)
    tracked.get("a")
    put(here, "d", "d")
    tracked.get("d")
    assert [tracked.get(name)[1] for name in "acd"] == [False, False, False]
    assert tracked.get("b") == (b"b", True)


@pytest.mark.parametrize("name", ["a", "가 b:c", "\x01\r\n"])
def test_a_change_a_removal_and_an_expiry_are_told(here: Scene, tracked: Tracked, name: str) -> None:
    put(here, name, "1")
    put(here, "other", "kept")
    tracked.get("other")
    assert [tracked.get(name) for _ in range(2)] == [(b"1", True), (b"1", False)]
    put(here, name, "2")
    heard(tracked)
    assert [tracked.get(name) for _ in range(2)] == [(b"2", True), (b"2", False)]
    here.forget(name)
    heard(tracked)
    assert tracked.get(name) == (None, True)
    put(here, name, "3")
    tracked.get(name)
    here.raw.pexpire(f"{here.redis.key_prefix}{name}", 0)
    heard(tracked)
    assert tracked.get(name) == (None, True)
    assert tracked.get("other") == (b"kept", False)


def test_an_error_for_one_entry_holds_up_no_later_call(here: Scene, tracked: Tracked) -> None:
    here.raw.rpush(f"{here.redis.key_prefix}list", "x")
    put(here, "a", "1")
    assert [tracked.get("list") for _ in range(2)] == [(None, True)] * 2
    tracked.get("a")
    assert tracked.get("a") == (b"1", False)


def test_many_threads_read_while_entries_change_and_none_gets_anothers_answer(here: Scene) -> None:
    tracked = Tracked(here.redis, timeout_seconds=30, entries=100, seconds=300)
    names, done = [f"n{i}" for i in range(20)], threading.Event()
    for name in names:
        put(here, name, f"{name}=0")

    def read(start: int) -> int:
        seen = [0] * len(names)
        for i in range(start, start + 400):
            number = i % len(names)
            text, _ = tracked.get(names[number])
            assert text is not None
            name, _, version = text.decode().partition("=")
            assert name == names[number]
            assert int(version) >= seen[number]  # time does not go back
            seen[number] = int(version)
        return sum(seen)

    def write() -> None:
        version = 0
        while not done.is_set():
            version += 1
            for name in names:
                put(here, name, f"{name}={version}")

    with ThreadPoolExecutor(9) as pool:
        writing = pool.submit(write)
        try:
            reads = [pool.submit(read, start) for start in range(8)]
            assert all(done_.result() >= 0 for done_ in reads)
        finally:
            done.set()
        writing.result()
    heard(tracked)
    last = {name: here.raw.get(f"{here.redis.key_prefix}{name}") for name in names}
    assert {name: tracked.get(name)[0] for name in names} == last
    tracked.close()


def test_a_change_by_the_processor_is_seen_though_the_entry_was_kept(here: Scene) -> None:
    client = here.client()
    for _ in range(3):
        client.get("policies", "P1")
    with here.done() as work:
        work.update("policies", {"policy_id": "P1"}, title="새 제목")
    here.tell()
    with queries(client) as counted:
        assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]
        assert counted.statements == []
    with here.done() as work:
        work.delete("policies", policy_id="P1")
    here.tell()
    assert client.get("policies", "P1") is None


def test_nothing_is_kept_beyond_the_connection_that_told_of_changes(here: Scene) -> None:
    client = here.client()
    for _ in range(3):
        client.get("policies", "P1")
    here.cut(client)
    with here.done() as work:
        work.update("policies", {"policy_id": "P1"}, title="새 제목")
    before = count("errors", work="read")
    with queries(client) as counted:
        assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]
    assert (counted.statements, count("errors", work="read")) == (
        [],
        before,
    )  # another connection is made at once


def test_nothing_is_kept_when_the_connection_is_lost_in_a_way_redis_py_does_not_notice(here: Scene) -> None:
    """As by an interrupt in the midst of an answer: redis-py closes the socket and keeps what it has."""
    client = here.client()
    for _ in range(3):
        client.get("policies", "P1")
    (connection,) = client._shared._tracked._client.connection_pool._available_connections
    connection._conn.disconnect()
    with here.done() as work:
        work.update("policies", {"policy_id": "P1"}, title="새 제목")
    assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]


def test_a_child_process_keeps_nothing_of_its_parents_connection(here: Scene) -> None:
    client = here.client()
    for _ in range(3):
        client.get("policies", "P1")
    pool = client._shared._tracked._client.connection_pool
    pool.reset()  # what redis-py does in a child at its first call
    with here.done() as work:
        work.update("policies", {"policy_id": "P1"}, title="새 제목")
    assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]
