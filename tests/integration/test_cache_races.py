"""What a reader writes is never older than what the processor has done: every order of steps, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from processor.stamp import Stamp
from processor.stores.base import Put
from reader import CacheClient
from tests.integration.cache import (
    ID,
    POLICIES,
    POLICY,
    Scene,
    Work,
    after_the_read,
    count,
    database,
    here,
)

__all__ = ["database", "here"]

Read = Callable[[CacheClient], object]
KEY = {"policy_id": "P1"}
READS: dict[str, Read] = {
    "policy:P1": lambda client: client.get("policies", "P1"),
    "policy_metadata:P1": lambda client: client.policy_metadata("P1"),
    "quality_score:P1": lambda client: client.quality_score("P1"),
    "policies:region:11": lambda client: client.keys("policies:region", "11"),
    "policies:industry:J": lambda client: client.keys("policies:industry", "J"),
    "policies:organization:기술보증기금": lambda c: c.keys("policies:organization", "기술보증기금"),
}
"""Every kind of entry that shows something of P1."""


@pytest.fixture(params=list(READS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def delete(work: Work) -> None:
    work.delete("policies", **KEY)


def hide(work: Work) -> None:
    work.update("policies", KEY, is_active=False)


def alter(work: Work) -> None:
    work.update(
        "policies",
        KEY,
        title="새 제목",
        quality_score=0.5,
        target_regions=["41"],
        target_industries=["C"],
        issuing_organization="신용보증기금",
    )


@pytest.fixture(params=[delete, hide, alter])
def change(request: pytest.FixtureRequest) -> Callable[[Work], None]:
    found: Callable[[Work], None] = request.param
    return found


def test_a_change_between_reading_and_writing_keeps_the_old_reading_out(
    here: Scene, name: str, change: Callable[[Work], None]
) -> None:
    client = here.client()

    def meanwhile() -> None:
        with here.done() as work:
            change(work)
        here.forget("policy:P1")  # with the record in place, an absent one could not be written anyway

    after_the_read(client, meanwhile)
    old = READS[name](client)
    assert old
    assert name not in here.names()
    assert READS[name](client) == READS[name](here.client()) != old


@pytest.mark.parametrize("table", ["users", "policies"])
def test_a_removal_is_told_also_where_the_record_had_expired(here: Scene, table: str) -> None:
    """The table of users invalidates nothing: without the lease, the processor would have nothing to do."""
    client = here.client()
    key = {"users": {"id": ID}, "policies": KEY}[table]
    text = next(iter(key.values()))

    def meanwhile() -> None:
        with here.done() as work:
            work.delete(table, **key)

    after_the_read(client, meanwhile)
    assert client.get(table, text) is not None
    assert here.names() == set()
    assert client.get(table, text) is None


def test_a_commit_that_is_in_the_stream_and_not_visible_yet_keeps_readings_out(
    here: Scene, name: str, change: Callable[[Work], None]
) -> None:
    client, read = here.client(), READS[name]
    with here.open() as work:
        change(work)
        here.process(work.changes)  # its commit is in the log; others still see the transaction at work
        here.forget("policy:P1")
        opened = count("loads", entry=name.rpartition(":")[0], outcome="open")
        old = read(client)
        assert old
        assert name not in here.names()
        assert f"lease:{name}" in here.names()
        assert read(here.client()) == old
        assert name not in here.names()
        assert count("loads", entry=name.rpartition(":")[0], outcome="open") == opened + 2
    new = read(client)
    assert new != old
    if new is not None:
        here.until_filled(name, lambda: read(client))
        assert f"lease:{name}" not in here.names()
    assert read(here.client()) == new


def test_what_is_about_to_join_a_list_keeps_it_out(here: Scene) -> None:
    client = here.client()
    with here.open() as work:
        work.insert("policies", policy_id="P0", **POLICY)
        here.process(work.changes)
        assert client.keys("policies:region", "11") == ["P1"]
        assert "policies:region:11" not in here.names()
    assert client.keys("policies:region", "11") == ["P0", "P1"]


def test_a_row_that_nobody_touches_is_written_beside_any_work_of_others(here: Scene) -> None:
    client = here.client()
    with here.open() as work:
        work.delete("policies", policy_id="P2")
        client.get("policies", "P1")
        assert here.names() == {"policy:P1"}


def test_a_locked_row_is_written_once_those_at_work_at_the_first_read_have_ended(here: Scene) -> None:
    client, other = here.client(), here.client()
    with here.open() as work, here.engine.connect() as later:
        work.connection.execute(sa.select(POLICIES.table.c.policy_id).with_for_update())
        client.get("policies", "P1")
        assert "policy:P1" not in here.names()
        later.execute(sa.text("SELECT pg_current_xact_id()"))
        work.connection.commit()
        # the later one is no obstacle: it began after the lease was given
        here.until_filled("policy:P1", lambda: other.get("policies", "P1"))


def test_a_change_drops_what_waits_for_the_end_of_others(here: Scene) -> None:
    client = here.client()
    with here.open() as work:
        work.update("policies", {"policy_id": "P2"}, title="t")
        client.keys("policies:region", "11")
        assert "lease:policies:region:11" in here.names()
        with here.engine.begin() as connection:
            other = Work(connection)
            other.update("policies", KEY, target_regions=["26"])
            here.process(other.changes)
            assert "lease:policies:region:11" not in here.names()
            work.connection.commit()
            # what was at work at first has ended; the second one is hidden now, and a new lease waits for it
            assert client.keys("policies:region", "11") == ["P1"]
            assert "policies:region:11" not in here.names()
    assert client.keys("policies:region", "11") == []


def test_a_frozen_reader_finds_its_lease_expired_or_anothers(here: Scene) -> None:
    client, other = here.client(), here.client()
    after_the_read(client, lambda: here.forget("lease:policy:P1"))
    assert client.get("policies", "P1") is not None
    assert here.names() == set()

    def another_load() -> None:
        here.forget("lease:policy:P1")
        after_the_read(other, lambda: standing.extend(here.names()))
        other.get("policies", "P1")
        here.forget("policy:P1")
        with here.done() as work:
            delete(work)

    standing: list[str] = []
    after_the_read(client, another_load)
    assert client.get("policies", "P1") is not None
    assert standing == ["lease:policy:P1"]
    assert here.names() == set()


def test_two_leases_are_never_the_same(here: Scene) -> None:
    client, texts = here.client(), set()
    for _ in range(3):
        name = f"{here.redis.key_prefix}lease:policy:P1"
        after_the_read(client, lambda name=name: texts.add(here.raw.get(name)))  # type: ignore[misc]
        client.get("policies", "P1")
        here.forget("policy:P1")
    assert len(texts) == 3


@pytest.mark.parametrize("epoch", [0, 3])
def test_the_processor_sees_an_entry_that_a_reader_made_under_its_hands(here: Scene, epoch: int) -> None:
    """It has read "absent", the reader writes, and its own write is refused: it reads and decides again."""
    here.epoch = epoch
    client = here.client()
    with here.open() as work:
        alter(work)
    taken: list[object] = []
    stamps = here.store.stamps

    def then_the_reader_writes(*asked: Any) -> Any:
        found = stamps(*asked)
        if not taken:
            taken.append(client.get("policies", "P1"))
        return found

    here.store.stamps = then_the_reader_writes  # type: ignore[assignment,method-assign]
    here.process(work.changes)
    record = here.store.read(POLICIES.view("redis"), ["P1"])["P1"]
    assert record.stamp.xid == work.changes[0].xid
    assert record.body == here.shown(POLICIES)["P1"] == taken[0]


@pytest.mark.parametrize("epoch", [0, 3])
def test_older_changes_that_are_still_to_come_pass_over_what_a_reader_wrote(here: Scene, epoch: int) -> None:
    """It had read further than the stream had come; the stream then ends where the reader was."""
    here.epoch = epoch
    client = here.client()
    with here.open() as first:
        alter(first)
    with here.open() as second:
        delete(second)
        second.insert("policies", policy_id="P1", **POLICY)
    assert client.get("policies", "P1") == here.shown(POLICIES)["P1"]
    here.process(first.changes)
    assert here.client().get("policies", "P1")["title"] == "새 제목"  # type: ignore[index]
    here.process(second.changes)
    here.tell()
    assert client.get("policies", "P1") == here.client().get("policies", "P1") == here.shown(POLICIES)["P1"]


def test_an_entry_that_is_there_gets_no_lease(here: Scene) -> None:
    client = here.client()
    found: list[object] = []

    def written_meanwhile(*_: object) -> None:
        here.store.apply(POLICIES.view("redis"), [Put("P1", None, Stamp(1, 1, 1, "f"), {"title": "theirs"})])

    get = client._shared.get
    client._shared.get = lambda *asked: (get(*asked), found or written_meanwhile(), found.append(1))[0]  # type: ignore[func-returns-value,method-assign]
    assert client.get("policies", "P1") == {"title": "theirs"}
    assert here.names() == {"policy:P1"}
