"""What readers get from the cache, on the real servers. Orders of steps: test_cache_races.py."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.compare import State, compare
from processor.errors import ConfigurationError, SourceError
from processor.source import read_all
from reader import CacheClient
from reader.lease import Lease
from tests.integration.cache import (
    ID,
    POLICIES,
    POLICY,
    RULES,
    USERS,
    Scene,
    after_the_read,
    count,
    database,
    heard,
    here,
    queries,
)

__all__ = ["database", "here"]

VIEW = POLICIES.view("redis")
until = Retrying(
    retry=retry_if_result(lambda done: not done), wait=wait_fixed(0.005), stop=stop_after_delay(60)
)


def levels(kind: str) -> list[float]:
    """Answers so far from (the process, Redis, PostgreSQL)."""
    hits = [count("hits", entry=kind, level=level) for level in ("process", "redis")]
    return [*hits, count("misses", entry=kind)]


def test_an_answer_comes_from_postgresql_then_from_redis_then_from_the_process(here: Scene) -> None:
    client, before = here.client(), levels("policy")
    answers = []
    for _ in range(3):
        answers.append(client.get("policies", "P1"))
        answers[-1]["title"] = "the caller's own"  # type: ignore[index]
        heard(client._shared._tracked)  # Redis tells of the entry that the first answer has made
    assert [now - then for now, then in zip(levels("policy"), before, strict=True)] == [1, 1, 1]
    assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]
    assert here.client().get("policies", "P1") == here.shown(POLICIES)["P1"]


@pytest.mark.parametrize("epoch", [0, 3])
def test_a_readers_record_is_one_that_the_reconciler_finds_right(here: Scene, epoch: int) -> None:
    here.epoch = epoch
    with here.done() as work:
        work.update("policies", {"policy_id": "P1"}, is_active=False)
    with here.done() as work:
        work.update("policies", {"policy_id": "P1"}, is_active=True)
    assert here.store.read(VIEW, ["P1"])["P1"].stamp.version >> 54 == epoch
    here.forget("policy:P1")
    here.client().get("policies", "P1")
    record = here.store.read(VIEW, ["P1"])["P1"]
    with here.engine.connect() as connection:
        row = read_all(connection, POLICIES)["P1"]
        end = connection.scalar(sa.text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))
    assert compare(POLICIES, VIEW, row, record).state is State.OK
    assert (record.stamp.version, record.stamp.xid) == (0, None)
    assert 0 < record.stamp.seen <= int(str(end))
    assert 0 < here.raw.ttl(f"{here.redis.key_prefix}policy:P1") <= here.redis.ttl_seconds


def test_the_same_text_is_written_by_the_processor_but_for_the_stamp(here: Scene) -> None:
    client, name = here.client(), f"{here.redis.key_prefix}policy:P1"
    client.get("policies", "P1")
    ours = here.raw.get(name)
    with here.done() as work:
        work.update("policies", {"policy_id": "P1"}, is_active=False)
    with here.done() as work:
        work.update("policies", {"policy_id": "P1"}, is_active=True)
    theirs = here.raw.get(name)
    assert isinstance(ours, bytes)
    assert isinstance(theirs, bytes)
    one, other = json.loads(ours), json.loads(theirs)
    assert list(one) == list(other)
    assert one.pop("_stamp")["fp"] != other.pop("_stamp")["fp"]  # updated_at has moved
    assert one | {"updated_at": ""} == other | {"updated_at": ""}


def test_every_table_with_entries_is_read_by_its_key_as_postgresql_writes_it(here: Scene) -> None:
    client = here.client()
    with here.open() as work:
        work.insert(
            "business_rules",
            rule_id="R 1",
            name="규칙",
            category="c",
            definition={"if": [1]},
            priority=1,
            applies_to_regions=["11"],
            applies_to_industries=[],
            is_active=True,
        )
    assert client.get("users", ID.upper()) == here.shown(USERS)[ID]
    assert client.get("business_rules", "R 1") == here.shown(RULES)["R 1"]
    assert here.names() >= {f"user:{ID}", "business_rule:R 1"}
    assert client.keys("business_rules:region", "11") == ["R 1"]
    assert client.keys("business_rules:industry", "J") == []


@pytest.mark.parametrize(
    "key", ["", "none", "P2", "k" * 65, "a\0b", "\ud800", "P1'; DROP TABLE policies", "*"]
)
def test_what_is_absent_or_not_shown_is_nothing_and_is_kept_nowhere(here: Scene, key: str) -> None:
    client = here.client()
    with here.open() as work:
        work.update("policies", {"policy_id": "P2"}, status="rejected")
    reads: list[Callable[[str], object]] = [
        lambda k: client.get("policies", k),
        client.policy_metadata,
        client.quality_score,
        lambda k: client.get("users", k),
    ]
    assert [read(key) for read in reads] == [None] * 4
    assert here.names() == set()


@pytest.mark.parametrize("value", ["", "a\0b", "\ud800", "{}", "11,26", '"11"', "NULL", "가" * 500])
def test_a_list_of_what_nobody_has_is_empty(here: Scene, value: str) -> None:
    client = here.client()
    for kind in ("policies:region", "policies:industry", "policies:organization"):
        assert client.keys(kind, value) == []


def test_what_there_is_not_is_refused_with_what_there_is(here: Scene) -> None:
    client = here.client()
    with pytest.raises(ConfigurationError, match="'outbox'") as caught:
        client.get("outbox", "1")
    assert caught.value.hint == "it shows business_rules, policies, users"
    with pytest.raises(ConfigurationError, match="'quality_score'") as caught:
        client.keys("quality_score", "P1")
    assert "policies:region" in str(caught.value.hint)


def test_a_list_holds_the_keys_of_what_is_shown_in_byte_order(here: Scene) -> None:
    client = here.client()
    keys = ["a", "B", "가", "Z", "é", "_"]
    with here.done() as work:
        for key in keys:
            work.insert("policies", policy_id=key, **POLICY)
        work.update("policies", {"policy_id": "Z"}, status="archived")
    expected = sorted({*keys, "P1"} - {"Z"}, key=str.encode)
    assert client.keys("policies:region", "11") == expected
    here.until_filled("policies:region:11", lambda: client.keys("policies:region", "11"))
    with here.done() as work:
        work.update("policies", {"policy_id": "a"}, target_regions=["26"])
    here.tell()
    assert client.keys("policies:region", "11") == [key for key in expected if key != "a"]
    assert client.keys("policies:organization", "기술보증기금") == sorted([*expected, "P2"], key=str.encode)


def test_metadata_is_the_row_without_its_long_text(here: Scene) -> None:
    client = here.client()
    body = here.shown(POLICIES)["P1"]
    for _ in range(3):
        assert client.policy_metadata("P1") == {k: v for k, v in body.items() if k != "content"}


def test_a_quality_score_is_the_last_one_computed_and_lives_five_minutes(here: Scene) -> None:
    client = here.client()
    assert client.quality_score("P1") == 0.9
    assert 0 < here.raw.ttl(f"{here.redis.key_prefix}quality_score:P1") <= 300
    metrics = sa.table("quality_metrics", *map(sa.column, ("policy_id", "total_score", "calculated_at")))
    with here.done() as work:
        for day, score in ((1, 0.3), (3, 0.0), (2, 0.6)):
            values = {"policy_id": "P1", "total_score": score, "calculated_at": f"2025-01-0{day}T00:00:00Z"}
            work.connection.execute(sa.insert(metrics).values(values))
        work.update("policies", {"policy_id": "P1"}, quality_score=0.1)
    here.tell()
    assert client.quality_score("P1") == 0.0
    assert client.quality_score("P2") == 0.9


@pytest.mark.parametrize("text", ["", "text", '{"title":"theirs"}', '{"value":', "[]", ["a", "list"]])
def test_what_somebody_else_wrote_is_not_shown_and_not_touched(here: Scene, text: str | list[str]) -> None:
    client = here.client()
    names = [f"{here.redis.key_prefix}{name}" for name in ("policy:P1", "quality_score:P1")]
    for name in names:
        if isinstance(text, list):
            here.raw.rpush(name, *text)
        else:
            here.raw.set(name, text)
    before = [here.raw.dump(name) for name in names]
    for _ in range(3):
        assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]
        assert client.quality_score("P1") == 0.9
    assert [here.raw.dump(name) for name in names] == before
    assert count("errors", work="read") == 0


def test_an_entry_that_somebody_wrote_under_a_readers_lease_is_not_overwritten(here: Scene) -> None:
    client, name = here.client(), f"{here.redis.key_prefix}policy:P1"
    after_the_read(client, lambda: here.raw.set(name, "theirs"))
    assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]
    assert here.raw.get(name) == b"theirs"


def at_once(client: CacheClient, read: Callable[[], Any], threads: int = 50) -> tuple[list[Any], list[str]]:
    """Answers of so many threads, and what they asked PostgreSQL; all miss while it answers the first."""
    reading, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reading.set()
        assert go_on.wait(60)

    after_the_read(client, hold)
    with queries(client) as counted, ThreadPoolExecutor(threads) as pool:
        joined = client._flights.joined
        answers = [pool.submit(read) for _ in range(threads)]
        assert reading.wait(60)
        until(lambda: client._flights.joined - joined == threads - 1)
        go_on.set()
        return [answer.result() for answer in answers], counted.statements


def test_fifty_threads_that_miss_an_entry_ask_postgresql_once(here: Scene) -> None:
    client = here.client()
    answers, statements = at_once(client, lambda: client.get("policies", "P1"))
    assert answers == [here.shown(POLICIES)["P1"]] * 50
    assert len(statements) == 1
    assert len({id(answer) for answer in answers}) == 50


def test_fifty_threads_that_ask_for_what_is_not_there_ask_postgresql_once(here: Scene) -> None:
    client = here.client()
    answers, statements = at_once(client, lambda: client.get("policies", "none"))
    assert (answers, len(statements)) == ([None] * 50, 1)


def test_what_fails_fails_for_all_who_wait_for_it_and_the_next_one_tries_again(here: Scene) -> None:
    client = here.client()

    def fail() -> None:
        until(lambda: client._flights.joined == 4)
        raise SourceError("gone")

    def one() -> str:
        with pytest.raises(SourceError, match="gone"):
            client.get("policies", "P1")
        return "failed"

    after_the_read(client, fail)
    with ThreadPoolExecutor(5) as pool:
        assert [f.result() for f in [pool.submit(one) for _ in range(5)]] == ["failed"] * 5
    assert here.names() == set()  # nobody is to wait for a lease whose owner has given up
    assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]


def test_another_process_waits_for_the_entry_instead_of_loading_it(here: Scene) -> None:
    client, other = here.client(), here.client()
    with ThreadPoolExecutor(1) as pool, queries(other) as counted:
        asked = threading.Event()
        ask = other._shared._store.lease

        def lease(*arguments: Any) -> str:
            found = ask(*arguments)
            asked.set()
            return found

        other._shared._store.lease = lease  # type: ignore[assignment,method-assign]
        waiting = []

        def meanwhile() -> None:
            waiting.append(pool.submit(other.get, "policies", "P1"))
            assert asked.wait(60)

        after_the_read(client, meanwhile)
        assert client.get("policies", "P1") == waiting[0].result() == here.shown(POLICIES)["P1"]
    assert counted.statements == []


def test_a_reader_that_died_holds_nobody_up_and_its_lease_is_respected(here: Scene) -> None:
    client = here.client()
    name = f"{here.redis.key_prefix}lease:policy:P1"
    here.raw.set(name, Lease.new().text)
    assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]
    assert here.names() == {"lease:policy:P1"}
    here.raw.unlink(name)
    client.get("policies", "P1")
    assert here.names() == {"policy:P1"}


@pytest.mark.parametrize("seed", range(4))
def test_after_every_step_readers_get_what_the_rows_say(here: Scene, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    clients = [here.client(), here.client(process_entries=1)]
    keys, regions = ["P1", "P2", "P3"], ["11", "26", "41"]

    def change() -> None:
        key = {"policy_id": chance.choice(keys)}
        with here.done() as work:
            if key["policy_id"] not in read_all(work.connection, POLICIES):
                work.insert("policies", **key, **POLICY)
            elif chance.random() < 0.3:
                work.delete("policies", **key)
            else:
                values = {
                    "target_regions": chance.sample(regions, chance.randrange(3)),
                    "status": chance.choice(["active", "active", "archived"]),
                    "quality_score": chance.random(),
                }
                work.update("policies", key, **values)

    def expire() -> None:
        names = [*map("policy:{}".format, keys), *map("policies:region:{}".format, regions)]
        here.forget(*chance.sample(names, 3))

    def cut() -> None:
        here.cut(chance.choice(clients))

    for _ in range(60):
        chance.choice([change, change, change, expire, cut])()
        here.tell()
        shown = here.shown(POLICIES)
        for client in clients:
            assert {k: b for k in keys if (b := client.get("policies", k)) is not None} == shown
            for key in keys:
                assert client.quality_score(key) == (shown[key]["quality_score"] if key in shown else None)
            for region in regions:
                named = [key for key in sorted(shown) if region in shown[key]["target_regions"]]
                assert client.keys("policies:region", region) == named


def test_the_example_for_service_developers_runs(
    here: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with here.open() as work:
        work.insert("policies", policy_id="POL-2025-001", **POLICY)
    made = CacheClient.from_environment
    monkeypatch.setattr(CacheClient, "from_environment", here.client)
    text = (Path(__file__).parents[2] / "docs" / "cache.md").read_text()
    example = text.partition("```python\n")[2].partition("```")[0]
    assert 5 <= len(example.splitlines()) <= 12
    exec(compile(example, "docs/cache.md", "exec"), {})  # noqa: S102
    assert capsys.readouterr().out.splitlines() == ["청년 창업 특례 보증 0.9"] * 2
    with made() as real:
        assert real.get("policies", "no such policy") is None
