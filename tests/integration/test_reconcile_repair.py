"""Repairs on tables of the test's own: all is healed and verified, nothing else is touched, rails hold."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from processor.errors import SourceError
from processor.refresh import refresh_topic
from processor.settings import Settings
from processor.tables.base import Projection
from reconciler.check import Check, Request
from reconciler.errors import CannotVerify, Overlapping
from reconciler.fence import Pipe
from reconciler.repair import Rails
from reconciler.report import Report
from reconciler.shard import Shard
from reconciler.state import State
from sql.models import Epoch, ReconcileRepair
from tests.integration.commands import Place, command_ends, commands
from tests.integration.letters import GOOD, INFINITE
from tests.integration.loans import LOAN, LOANS
from tests.integration.own_tables import PARTITIONS, OwnTables
from tests.integration.test_composite_key import PROJECTION
from tests.integration.test_joined_view import CHILD, PARENT, PARENTS, parent
from tests.integration.test_reconcile_check import (
    IMPOSSIBLE,
    Dies,
    Silent,
    Vandals,
    keys,
    kinds,
    plant,
    running,
    vandals,
)

__all__ = ["vandals"]
TABLES = (PROJECTION, PARENT, CHILD, LOAN)
APPLY = Rails(apply=True)
LETTERED = UUID("0b9b5c1e-0000-4000-8000-00000000abcd")


@pytest.fixture(scope="module")
def own(pipeline: sa.Engine, settings: Settings) -> Iterator[OwnTables]:
    """The processor takes any number of letters."""
    patient = settings.processor.model_copy(update={"dead_letter_ratio": 1.0, "dead_letter_run": 1_000_000})
    with running(dataclasses.replace(settings, processor=patient), pipeline, TABLES) as own:
        yield own


class AtTheSecondTable(Silent):
    def __init__(self, act: Callable[[], None]) -> None:
        self._act, self._begun = act, 0

    def begin(self, table: str, rows: int | None) -> None:
        self._begun += 1
        if self._begun == 2:
            self._act()


def reconcile(
    own: OwnTables,
    rails: Rails | None = None,
    tables: tuple[Projection, ...] = TABLES,
    settings: Settings | None = None,
    second: Callable[[threading.Event], None] | None = None,
    **asked: Any,
) -> Report:
    """`second`: done when the second table begins, with what stops the run."""
    request = Request(tables=tables, rails=rails, **asked)
    pipe = Pipe(own.connector.name, own.connector.name)
    stop = threading.Event()
    watcher = Silent() if second is None else AtTheSecondTable(lambda: second(stop))
    work = Check(settings or own.settings, request, TABLES, stop, watcher, pipe)
    try:
        return work.run()
    finally:
        work.close()


@contextmanager
def commanded(own: OwnTables) -> Iterator[Counter[Place]]:
    """How often each record was written anew by command in the meantime."""
    topics = {refresh_topic(own.topic(table)): table for table in TABLES}
    begin = command_ends(own.settings, topics)
    assert all(offsets.keys() == set(range(PARTITIONS)) for offsets in begin.values())
    found: Counter[Place] = Counter()
    yield found
    for command, place in commands(own.settings, topics, begin):
        assert command.force
        found[place] += 1


def places(report: Report) -> set[Place]:
    return {(f.table, f.store, f.key) for f in report.findings}


def repaired(report: Report) -> set[tuple[str, str, str, str]]:
    return {(f.table, f.store, f.key, f.kind.value) for f in report.repaired}


def test_every_fault_is_healed_and_verified_and_nothing_else_is_touched(
    own: OwnTables, vandals: Vandals
) -> None:
    assert reconcile(own, APPLY, deep_every=1).exit_code == 0
    plain, deep = plant(own, vandals)

    with commanded(own) as none:
        dry = reconcile(own, Rails(), deep_every=1)
    assert not none
    assert (dry.exit_code, kinds(dry)) == (1, plain | deep)
    assert {table: (plan.applied, plan.refused) for table, plan in dry.plans.items()} == {
        PROJECTION.name: (False, None),
        PARENT.name: (False, None),
    }

    with commanded(own) as asked:
        report = reconcile(own, APPLY, deep_every=1)
    assert report.exit_code == 2
    assert kinds(report) == set()
    assert repaired(report) == plain | deep
    assert {(f.table, f.store, f.key): f.first_seen for f in report.repaired} == {
        (f.table, f.store, f.key): f.first_seen for f in dry.findings
    }
    assert asked == Counter({(table, store, key): 1 for table, store, key, _ in plain | deep})
    for table, plan in report.plans.items():
        rows = {key for name, _, key, _ in plain | deep if name == table}
        orphans = {key for name, _, key, kind in plain | deep if name == table and kind == "orphan"}
        assert (plan.applied, plan.writes, plan.deletes) == (True, len(rows) - len(orphans), len(orphans))
    for stores in report.parts.values():
        for part in stores.values():
            assert part.counts.left == 0
            assert part.counts.repaired == part.counts.drift
    # what differed is kept for people, of a deep difference too
    table, store, key, _ = next(iter(deep))
    assert "누가 바꿈" in {one.found for one in report.differences[table, store, key]}

    own.assert_equal()
    with commanded(own) as none:
        again = reconcile(own, APPLY, deep_every=1)
    assert (again.exit_code, again.repaired, none) == (0, [], Counter())


def test_a_key_that_no_row_can_have_is_removed_without_a_command(own: OwnTables, vandals: Vandals) -> None:
    own.execute(sa.insert(PARENTS).values([parent(LETTERED, shown=True)]))
    assert reconcile(own, tables=(PARENT,)).exit_code == 0
    strange = {"nobody's", str(LETTERED).upper()}  # which PostgreSQL takes for the row's, and no store does
    for store in ("neo4j", "redis"):
        for key in strange:
            vandals[store].copy(PARENT.view(store), str(LETTERED), key)
    with commanded(own) as asked:
        report = reconcile(own, APPLY, (PARENT,))
    assert report.exit_code == 2
    assert repaired(report) == {
        (PARENT.name, store, key, "orphan") for store in ("neo4j", "redis") for key in strange
    }
    assert not asked
    assert reconcile(own, tables=(PARENT,)).exit_code == 0


def test_a_row_with_an_open_letter_is_reported_and_left_alone(own: OwnTables, vandals: Vandals) -> None:
    day = sa.cast(sa.literal(GOOD, sa.Text), sa.Date)
    own.execute(sa.insert(LOANS).values({"id": "one", "title": "대출", "begins": day}))
    own.execute(sa.insert(LOANS).values({"id": "two", "title": "대출", "begins": day}))
    infinite = sa.cast(sa.literal(INFINITE, sa.Text), sa.Date)
    own.execute(sa.update(LOANS).where(LOANS.c.id == "one").values(begins=infinite))
    lost = LOAN.views[0].store
    assert reconcile(own, tables=(LOAN,)).exit_code == 1  # all is in the stores now
    vandals[lost].remove(LOAN.view(lost), "two")

    with commanded(own) as asked:
        report = reconcile(own, APPLY, (LOAN,))

    assert report.exit_code == 1
    assert asked == Counter({(LOAN.name, lost, "two"): 1})
    assert repaired(report) == {(LOAN.name, lost, "two", "missing")}
    assert {(f.key, f.kind.value) for f in report.findings} == {("one", "dead_lettered")}
    own.execute(sa.delete(LOANS))
    assert reconcile(own, tables=(LOAN,)).exit_code == 0


def plant_orphans(own: OwnTables, vandals: Vandals, number: int) -> set[str]:
    """Records of the graph that no row accounts for."""
    orphans = {f"policy_id=gone {n},number={n},day=20089" for n in range(number)}
    for key in orphans:
        vandals["neo4j"].copy(PROJECTION.view("neo4j"), keys(own, PROJECTION)[0], key)
    return orphans


def test_more_deletes_than_allowed_are_refused_and_the_table_is_left_as_it_is(
    own: OwnTables, vandals: Vandals
) -> None:
    plant_orphans(own, vandals, 11)
    vandals["redis"].stamp(PROJECTION.view("redis"), keys(own, PROJECTION)[0], fp="0" * 16)
    vandals["neo4j"].remove(PARENT.view("neo4j"), keys(own, PARENT)[0])
    with commanded(own) as asked:
        report = reconcile(own, APPLY, (PROJECTION, PARENT))
    plan = report.plans[PROJECTION.name]
    assert (report.exit_code, report.unfinished) == (4, False)
    assert (plan.applied, plan.deletes) == (False, 11)
    assert str(plan.refused).startswith("11 of 51 records would be removed from neo4j, 10 may be")
    # another table is healed
    assert asked == Counter({(PARENT.name, "neo4j", keys(own, PARENT)[0]): 1})

    careful = reconcile(own, dataclasses.replace(APPLY, upsert_only=True), (PROJECTION,))
    assert careful.exit_code == 1
    assert repaired(careful) == {(PROJECTION.name, "redis", keys(own, PROJECTION)[0], "stale")}
    assert careful.plans[PROJECTION.name].deletes == 0

    bold = dataclasses.replace(APPLY, max_delete_ratio=0.25)
    assert reconcile(own, bold, (PROJECTION,)).exit_code == 2
    own.assert_equal()


def test_a_table_without_rows_is_refused_until_somebody_says_that_it_is_meant(
    own: OwnTables, vandals: Vandals
) -> None:
    day = sa.cast(sa.literal(GOOD, sa.Text), sa.Date)
    own.execute(sa.insert(LOANS).values({"id": "healthy", "title": "대출", "begins": day}))
    assert reconcile(own, tables=(LOAN,)).exit_code == 0
    store = LOAN.views[0].store
    vandals[store].copy(LOAN.view(store), "healthy", "ghost")
    own.execute(sa.delete(LOANS))
    with commanded(own) as asked:
        report = reconcile(own, APPLY, (LOAN,))
    assert report.exit_code == 4
    assert "PostgreSQL has no row of" in str(report.plans[LOAN.name].refused)
    assert not asked
    assert reconcile(own, dataclasses.replace(APPLY, allow_empty=True), (LOAN,)).exit_code == 2
    own.assert_equal()


def test_another_postgresql_than_the_epochs_is_refused(own: OwnTables, vandals: Vandals) -> None:
    key = keys(own, PROJECTION)[0]
    vandals["redis"].stamp(PROJECTION.view("redis"), key, fp="0" * 16)
    later = own.settings.processor.model_copy(update={"epoch": 7})
    settings = dataclasses.replace(own.settings, processor=later)
    own.execute(sa.insert(Epoch).values(epoch=7, system_identifier="another", timeline=3))
    try:
        with commanded(own) as asked:
            report = reconcile(own, APPLY, (PROJECTION,), settings)
    finally:
        own.execute(sa.delete(Epoch).where(Epoch.epoch == 7))
    assert report.exit_code == 4
    assert "epoch 7 belongs to cluster another, timeline 3; this is cluster" in str(
        report.plans[PROJECTION.name].refused
    )
    assert not asked
    assert reconcile(own, APPLY, (PROJECTION,)).exit_code == 2


def test_a_repair_that_died_goes_on_and_each_record_is_counted_once(
    own: OwnTables, vandals: Vandals, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = keys(own, PROJECTION)[:5]
    for key in wrong:
        for name, store in (("seen", "neo4j"), ("version", "redis")):
            vandals[store].stamp(PROJECTION.view(store), key, **{name: IMPOSSIBLE[name]})
    monkeypatch.setattr("reconciler.repair.BATCH", 1)
    judge, left = State.judge, iter([True, True, True])

    def dies(self: State, *arguments: Any, **named: Any) -> None:
        judge(self, *arguments, **named)
        if arguments[4] and not next(left, False):
            raise Dies

    asked: dict[str, Any] = {"tables": (PROJECTION,), "stores": frozenset({"neo4j", "redis"})}
    with commanded(own) as commands:
        with monkeypatch.context() as patch, pytest.raises(Dies):
            patch.setattr(State, "judge", dies)
            reconcile(own, APPLY, **asked)
        report = reconcile(own, APPLY, **asked)
    assert report.exit_code == 2
    assert any(line.startswith("continues run") for line in report.notes)
    expected = {(PROJECTION.name, store, key) for store in ("neo4j", "redis") for key in wrong}
    assert {(f.table, f.store, f.key) for f in report.repaired} == expected
    assert [part.counts.repaired for part in report.parts[PROJECTION.name].values()] == [5, 5]
    # once each: what had been verified before the death was not commanded again
    assert commands == Counter(expected)
    with own.engine.connect() as connection:
        query = sa.select(sa.func.count()).where(ReconcileRepair.run_id == report.run_id)
        assert connection.scalar(query) == len(expected)


def test_the_ten_records_are_for_all_shares_of_a_run(own: OwnTables, vandals: Vandals) -> None:
    plant_orphans(own, vandals, 24)
    shares = [Shard(number, 2) for number in range(2)]
    reports = [reconcile(own, APPLY, (PROJECTION,), shard=share) for share in shares]
    assert [report.exit_code for report in reports] == [4, 4]
    assert all("5 may be" in str(report.plans[PROJECTION.name].refused) for report in reports)
    bold = dataclasses.replace(APPLY, max_delete_ratio=1)
    assert [reconcile(own, bold, (PROJECTION,), shard=share).exit_code for share in shares] == [2, 2]


def test_a_repair_ends_when_postgresql_is_replaced_in_the_midst_of_it(
    own: OwnTables, vandals: Vandals, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = keys(own, PROJECTION)[:3]
    for key in wrong:
        vandals["redis"].stamp(PROJECTION.view("redis"), key, fp="0" * 16)
    monkeypatch.setattr("reconciler.repair.BATCH", 1)
    asked: dict[str, Any] = {"tables": (PROJECTION,), "stores": frozenset({"redis"})}
    checks = iter(range(100))

    def replaced(_: Check) -> None:
        if next(checks) == 2:
            raise CannotVerify("another one", hint="look")

    with commanded(own) as commands, monkeypatch.context() as patch:
        patch.setattr(Check, "_check_source", replaced)
        report = reconcile(own, APPLY, **asked)
    assert report.parts[PROJECTION.name]["redis"].reason == "another one"
    assert (report.exit_code, len(report.repaired), commands.total()) == (1, 1, 1)
    assert reconcile(own, APPLY, **asked).exit_code == 2


def test_a_run_whose_keys_another_has_looked_at_since_is_not_continued(
    own: OwnTables, vandals: Vandals
) -> None:
    """What it had found may be healed, and would be reported for ever."""
    vandals["redis"].stamp(PROJECTION.view("redis"), keys(own, PROJECTION)[0], fp="0" * 16)
    both = (PROJECTION, PARENT)
    stopped = reconcile(own, tables=both, second=lambda stop: stop.set())
    assert (stopped.exit_code, stopped.unfinished, len(stopped.findings)) == (4, True, 1)
    assert reconcile(own, APPLY, both).exit_code == 2
    after = reconcile(own, tables=both)
    assert (after.exit_code, after.findings) == (0, [])
    assert after.run_id != stopped.run_id


def test_a_run_that_has_lost_its_lock_writes_nothing_more(own: OwnTables) -> None:
    def cut(_: threading.Event) -> None:
        own.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND classid::bigint = hashtext('aegis.reconcile')::bigint & 4294967295 AND objid = 0"
            )
        )

    with pytest.raises(SourceError):
        reconcile(own, tables=(PROJECTION, PARENT), second=cut)
    assert reconcile(own, tables=(PROJECTION, PARENT)).exit_code == 0


def test_shares_of_another_number_overlap(own: OwnTables) -> None:
    state = State(own.settings.postgres)
    with state.locked(Shard(0, 2)):
        with pytest.raises(Overlapping):
            reconcile(own, tables=(PARENT,), shard=Shard(1, 3))
        assert reconcile(own, tables=(PARENT,), shard=Shard(1, 2)).exit_code == 0
    state.close()
