"""Whole runs on tables of the test's own, with composite keys and joined views: every fault, nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from threading import Event
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from processor.app import Processor
from processor.build import build, make_stores
from processor.errors import ConfigurationError
from processor.settings import Settings
from processor.stores.base import Applied, Put, Remove, Store
from processor.tables.base import Projection, View
from reconciler.check import Check, Request, Watcher
from reconciler.errors import CannotVerify, Overlapping, StoppedEarly
from reconciler.fence import Pipe
from reconciler.report import Report
from reconciler.shard import Shard
from reconciler.state import State
from sql.models import ReconcileFinding, ReconcileRun
from tests.integration import faults
from tests.integration.own_tables import OwnTables, own_tables
from tests.integration.path import joined
from tests.integration.test_composite_key import NOTES, PROJECTION, note
from tests.integration.test_joined_view import CHILD, CHILDREN, PARENT, PARENTS, child, parent

ROWS = 40
BEYOND = 1 << 53
"""Log positions that no test's PostgreSQL reaches; exact also where numbers are doubles."""
IMPOSSIBLE = {"version": BEYOND, "seen": BEYOND, "xid": 1 << 30}
Vandals = dict[str, Any]
TABLES = (PROJECTION, PARENT, CHILD)
OURS = ReconcileFinding.table_name.in_([table.name for table in TABLES])
Found = set[tuple[str, str, str, str]]
"""Table, store, key and kind."""


class Silent:
    def begin(self, table: str, rows: int | None) -> None:
        pass

    def seen(self, rows: int) -> None:
        pass


@contextmanager
def running(settings: Settings, engine: sa.Engine, tables: tuple[Projection, ...]) -> Iterator[OwnTables]:
    """Rows in the first three tables, a processor that runs meanwhile; what was found is forgotten."""
    with own_tables(settings, engine, tables) as own:
        processor = Processor(own.settings.processor, lambda stop: build(own.settings, stop, tables))
        thread = threading.Thread(target=processor.run)
        thread.start()
        joined(own.settings)
        own.execute(
            sa.insert(NOTES).values([note(f"a=b, {n}", n) for n in range(ROWS)]),
            sa.insert(PARENTS).values([parent(UUID(int=n), shown=n % 4 > 0) for n in range(ROWS)]),
            sa.insert(CHILDREN).values([child(UUID(int=n), f"길/{n}") for n in range(ROWS)]),
        )
        try:
            yield own
        finally:
            processor.stop()
            thread.join()
            processor.close()
            ours = ReconcileFinding.table_name.in_([table.name for table in tables])
            own.execute(sa.delete(ReconcileFinding).where(ours))


@pytest.fixture(scope="module")
def own(pipeline: sa.Engine, settings: Settings) -> Iterator[OwnTables]:
    with running(settings, pipeline, TABLES) as own:
        yield own


@pytest.fixture
def stores(settings: Settings) -> Iterator[dict[str, Store]]:
    made = {store.name: store for store in make_stores(settings)}
    yield made
    for store in made.values():
        store.close()


@pytest.fixture
def vandals(settings: Settings) -> Iterator[Vandals]:
    with faults.vandals(settings) as made:
        yield made


def check(
    own: OwnTables,
    stop: Event | None = None,
    settings: Settings | None = None,
    watcher: Watcher | None = None,
    **asked: Any,
) -> Report:
    request = Request(tables=TABLES, **asked)
    pipe = Pipe(own.connector.name, own.connector.name)
    work = Check(settings or own.settings, request, TABLES, stop or Event(), watcher or Silent(), pipe)
    try:
        return work.run()
    finally:
        work.close()


def kinds(report: Report) -> Found:
    return {(f.table, f.store, f.key, f.kind.value) for f in report.findings}


def ages(report: Report) -> dict[tuple[str, str, str], datetime]:
    return {(f.table, f.store, f.key): f.first_seen for f in report.findings}


def heal(own: OwnTables, found: Report) -> None:
    """By the one path that writes to stores."""
    from processor.delivery import Delivery
    from processor.refresh import Command, request

    by_name = {table.name: table for table in TABLES}
    Delivery(own.settings.kafka).send(
        [
            request(
                own.topic(by_name[f.table]),
                by_name[f.table],
                by_name[f.table].parse_key(f.key),
                Command(reason="test", stores=frozenset({f.store}), force=True),
            )
            for f in found.findings
        ]
    )


def keys(own: OwnTables, table: Projection) -> list[str]:
    return sorted(key for key, row in own.rows(table).items() if table.predicate(row))


def views(*tables: Projection) -> list[tuple[Projection, View]]:
    return [(table, view) for table in tables for view in table.views]


def plant(own: OwnTables, vandals: Vandals) -> tuple[Found, Found]:
    """A fault of each kind in each store, each in a row of its own: plain ones, and those that lie deep."""
    plain: Found = set()
    deep: Found = set()
    for table, view in views(PROJECTION, PARENT):
        vandal, present, rows = vandals[view.store], keys(own, table), iter(keys(own, table))
        surplus = rows_gone(table)
        vandal.copy(view, present[-1], surplus)
        plain.add((table.name, view.store, surplus, "orphan"))
        if view.store != "redis":
            key = next(rows)
            vandal.remove(view, key)
            plain.add((table.name, view.store, key, "missing"))
        key = next(rows)
        vandal.stamp(view, key, fp="0" * 16)
        plain.add((table.name, view.store, key, "stale"))
        for name, value in IMPOSSIBLE.items():
            key = next(rows)
            vandal.stamp(view, key, **{name: value})
            plain.add((table.name, view.store, key, "corrupt_stamp"))
        key = next(rows)
        vandal.field(view, key, "note" if table is PROJECTION else "title", "누가 바꿈")
        deep.add((table.name, view.store, key, "stale"))
    return plain, deep


def rows_gone(table: Projection) -> str:
    if table is PROJECTION:
        return "policy_id=gone,number=7,day=20089"
    return str(UUID(int=4))  # it is there, but not to be shown


def test_every_planted_fault_is_found_with_its_kind_and_nothing_else(
    own: OwnTables, vandals: Vandals
) -> None:
    assert check(own, deep_every=1).exit_code == 0
    plain, deep = plant(own, vandals)

    first = check(own)
    assert kinds(first) == plain
    assert first.exit_code == 1
    numbers = first.parts["composite_test"]["milvus"].counts
    assert (numbers.scanned_source, numbers.scanned_store) == (ROWS, ROWS)
    assert (numbers.missing, numbers.orphan, numbers.stale, numbers.corrupt_stamp) == (1, 1, 1, 3)
    assert numbers.ok == ROWS + 1 - 6

    second = check(own, deep_every=1)
    assert kinds(second) == plain | deep
    assert ages(first).items() <= ages(second).items()

    # by shares, the same: what is known to be wrong deep inside is looked at again by any run
    shares = [check(own, shard=Shard(n, 2), stores=frozenset({"neo4j"})) for n in range(2)]
    in_graph = {found for found in plain | deep if found[1] == "neo4j"}
    assert [kinds(share) for share in shares] == [
        {found for found in in_graph if Shard(n, 2).takes(found[2])} for n in range(2)
    ]

    heal(own, second)
    healed = check(own, deep_every=1)
    assert kinds(healed) == set()
    assert healed.exit_code == 0
    own.assert_equal()
    with own.engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(OURS)) == 0


def test_a_vector_that_is_not_its_texts_is_found_by_embedding_the_text_anew(
    own: OwnTables, stores: dict[str, Store]
) -> None:
    view, store = PROJECTION.view("milvus"), stores["milvus"]
    one, *_, other = keys(own, PROJECTION)[:5]
    record, wrong = store.read(view, [one])[one], store.read(view, [other])[other].vector
    assert record.vector is not None
    assert wrong is not None
    # its hash is right, and it says that it stands for this text
    vector = replace(record.vector, values=wrong.values)
    held = store.stamps(view, [one])[one]
    assert store.apply(view, [Put(one, held, held.stamp, record.body, vector)]) == [Applied()]

    found = check(own, deep_every=1, stores=frozenset({"milvus"}))

    assert kinds(found) == {(PROJECTION.name, "milvus", one, "stale")}
    heal(own, found)
    assert check(own, deep_every=1, stores=frozenset({"milvus"})).exit_code == 0


def test_only_one_run_at_a_time_or_one_of_each_share(own: OwnTables) -> None:
    state = State(own.settings.postgres)  # of whose pool nothing is used
    with state.locked(Shard()):
        for shard in (Shard(), Shard(0, 2)):
            with pytest.raises(Overlapping):
                check(own, shard=shard)
    with state.locked(Shard(0, 2)):
        assert check(own, shard=Shard(1, 2)).exit_code == 0
        for shard in (Shard(), Shard(0, 2)):
            with pytest.raises(Overlapping):
                check(own, shard=shard)


def test_a_store_that_is_away_hides_no_other_and_is_never_called_empty(own: OwnTables) -> None:
    away = replace(own.settings, redis=own.settings.redis.model_copy(update={"url": "redis://127.0.0.1:1/0"}))
    report = check(own, settings=away)
    assert report.exit_code == 3
    assert kinds(report) == set()
    for table in (PROJECTION, PARENT):
        parts = report.parts[table.name]
        assert "does not answer" in str(parts.pop("redis").reason)
        assert all(part.exit_code == 0 and part.reason is None for part in parts.values())


def test_a_pipe_that_does_not_flow_is_no_drift(own: OwnTables) -> None:
    nobody = own.settings.kafka.model_copy(update={"group_id": "nobody-at-all"})
    with pytest.raises(CannotVerify, match="no processor runs in group nobody-at-all"):
        check(own, settings=replace(own.settings, kafka=nobody))


def test_too_many_differences_end_a_part_but_not_the_others(own: OwnTables, vandals: Vandals) -> None:
    view, lost = PROJECTION.view("neo4j"), keys(own, PROJECTION)[:6]
    for key in lost:
        vandals["neo4j"].remove(view, key)
    report = check(own, max_suspects=5)
    assert report.exit_code == 4
    assert not report.unfinished
    assert "more than 5 records differ" in str(report.parts[PROJECTION.name]["neo4j"].reason)
    assert report.parts[PARENT.name]["redis"].exit_code == 0
    found = check(own)
    assert kinds(found) == {(PROJECTION.name, "neo4j", key, "missing") for key in lost}
    heal(own, found)
    assert check(own).exit_code == 0


def test_a_run_that_was_stopped_goes_on_as_the_same_run(own: OwnTables) -> None:
    stop = Event()
    stop.set()
    stopped = check(own, stop=stop)
    assert (stopped.exit_code, stopped.unfinished) == (4, True)
    after = check(own)
    assert (after.run_id, after.exit_code) == (stopped.run_id, 0)
    assert any(line.startswith("continues run") for line in after.notes)
    assert check(own).run_id != stopped.run_id
    with own.engine.connect() as connection:
        query = sa.select(ReconcileRun.exit_code, ReconcileRun.ended_at).where(
            ReconcileRun.run_id == stopped.run_id
        )
        code, ended = connection.execute(query).one()
        assert code == 0
        assert ended is not None


def test_a_step_that_could_not_be_recorded_is_done_again(
    own: OwnTables, vandals: Vandals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had found would be lost else."""
    key, view = keys(own, PROJECTION)[0], PROJECTION.view("redis")
    vandals["redis"].stamp(view, key, fp="0" * 16)
    save, failures = State.save, iter([True])

    def fails_once(self: State, *arguments: Any, **named: Any) -> int:
        suspects = arguments[2] if len(arguments) > 2 else named.get("suspects")
        if suspects and next(failures, False):
            raise StoppedEarly("connection lost")
        return save(self, *arguments, **named)

    monkeypatch.setattr(State, "save", fails_once)
    asked: dict[str, Any] = {"stores": frozenset({"redis"})}
    assert check(own, **asked).unfinished
    found = check(own, **asked)
    assert kinds(found) == {(PROJECTION.name, "redis", key, "stale")}
    heal(own, found)
    assert check(own, **asked).exit_code == 0


def test_a_key_that_no_row_can_have_is_an_orphan_until_somebody_removes_it(
    own: OwnTables, stores: dict[str, Store]
) -> None:
    view, strange = PROJECTION.view("neo4j"), "with\0nothing in it"
    like = stores["neo4j"].read(view, keys(own, PROJECTION)[:1])
    (record,) = like.values()
    store = stores["neo4j"]
    assert store.apply(view, [Put(strange, None, record.stamp, record.body)]) == [Applied()]
    asked: dict[str, Any] = {"stores": frozenset({"neo4j"})}
    for _ in range(2):
        assert kinds(check(own, **asked)) == {(PROJECTION.name, "neo4j", strange, "orphan")}
    assert store.apply(view, [Remove(strange, store.stamps(view, [strange])[strange])]) == [Applied()]
    assert check(own, **asked).exit_code == 0


def test_a_fresh_run_gives_up_the_one_before(own: OwnTables) -> None:
    stop = Event()
    stop.set()
    stopped = check(own, stop=stop)
    fresh = check(own, fresh=True)
    assert fresh.run_id != stopped.run_id
    assert check(own).run_id not in (stopped.run_id, fresh.run_id)


def test_what_no_store_shows_is_a_wrong_question(own: OwnTables) -> None:
    with pytest.raises(ConfigurationError, match="none of these stores shows any of these tables"):
        check(own, stores=frozenset({"mysql"}))


class Dies(Exception):
    """As a killed process: nothing is tidied up."""


class Mortal(Silent):
    """Dies after so many ranges; each part reports once at its beginning, too."""

    def __init__(self, ranges: int) -> None:
        self.left = ranges

    def seen(self, rows: int) -> None:
        self.left -= 1
        if self.left <= 0:  # for all threads
            raise Dies


def test_a_run_that_is_killed_in_the_middle_of_a_table_looks_at_each_key_once_in_the_end(
    own: OwnTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.part.RANGE", 7)
    monkeypatch.setattr("reconciler.part.DEEP_RANGE", 7)
    asked: dict[str, Any] = {"stores": frozenset({"redis", "elasticsearch"}), "deep_every": 1}
    deaths = 0
    while True:
        try:
            report = check(own, watcher=Mortal(7), **asked)
            break
        except Dies:
            deaths += 1
    assert deaths > 5, report.reasons()
    assert report.exit_code == 0
    for table in (PROJECTION, PARENT):
        shown = len(keys(own, table))
        for part in report.parts[table.name].values():
            numbers = part.counts
            assert (numbers.scanned_source, numbers.scanned_store, numbers.ok) == (shown, shown, shown)
            assert numbers.deep_checked == shown


def test_deep_shares_take_turns_until_every_row_was_compared(own: OwnTables) -> None:
    asked: dict[str, Any] = {"stores": frozenset({"neo4j"}), "deep_every": 3}
    compared = [check(own, **asked).parts[PROJECTION.name]["neo4j"].counts.deep_checked for _ in range(3)]
    assert sum(compared) == ROWS
    assert max(compared) < ROWS
