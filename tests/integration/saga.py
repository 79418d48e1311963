"""Rows that one store refuses, each in its own way, and processes that die while they undo it.

The servers are real. What they refuse, and when, is the test's.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from ops.dlq.replay import Options, Replay
from processor.app import Processor
from processor.build import build, make_stores
from processor.delivery import Delivery
from processor.keys import kafka_key, parse_kafka_key
from processor.letter_topics import LetterTopics
from processor.letters import PREFIX, LetterBox, letter_topic
from processor.offsets import GroupOffsets
from processor.routes import consumed_topics
from processor.settings import Settings
from processor.stores.base import Put, Remove, Store, Write
from processor.tables import by_topic
from processor.tables.base import Edge, FieldType, Projection, Text, View
from tests.integration.own_tables import OwnTables, own_tables
from tests.integration.records import ends, records
from tests.refusing import Countdown, Crash, Mortal, Refusing

NAME = "saga_test"
TABLE = sa.Table(
    NAME,
    sa.MetaData(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("maker", sa.Text, nullable=False),
)
FIELDS = {"id": FieldType.KEYWORD, "title": FieldType.KOREAN}
PROJECTION = Projection(
    model=TABLE,
    only_when={},
    views=(
        View("milvus", NAME, FIELDS, text=Text(("title",), lambda row: str(row["title"]))),
        View("neo4j", "SagaTest", FIELDS, edges=(Edge("maker", "MADE_BY", "SagaMaker", "name"),)),
        View("elasticsearch", "saga-test", FIELDS),
        View("redis", NAME, FIELDS),
    ),
)
STORES = tuple(view.store for view in PROJECTION.views)
T = TypeVar("T")
OPS = ("create", "update", "delete")
OLD, NEW = "옛 제목", "새 제목"


@dataclass(frozen=True)
class Case:
    """An operation on a row of its own, which `store` refuses; if `stubborn`, the next store does not let go
    of the change that it took."""

    run: str
    op: str
    store: str
    stubborn: bool

    @property
    def key(self) -> str:
        return f"{self.run}={self.op},{self.store}:{self.stubborn}"

    @property
    def before(self) -> str | None:
        return None if self.op == "create" else OLD

    @property
    def after(self) -> str | None:
        return None if self.op == "delete" else NEW

    @property
    def keeper(self) -> str | None:
        """The store that does not let go; of a removal there is nothing to let go of."""
        following = STORES[(STORES.index(self.store) + 1) % len(STORES)]
        return following if self.stubborn and self.op != "delete" else None

    def shown(self, store: str) -> str | None:
        """What a store is to show: the previous image in all of them, or none but in the one that keeps."""
        return self.before if self.keeper is None else NEW if store == self.keeper else None

    def outcome(self, store: str) -> str:
        if store == self.store:
            return "rejected"
        return "compensation_failed" if store == self.keeper else "compensated"

    @property
    def statement(self) -> sa.Executable:
        """That does it."""
        if self.op == "create":
            return insert(self.key, NEW)
        mine = TABLE.c.id == self.key
        return (
            sa.delete(TABLE).where(mine)
            if self.after is None
            else sa.update(TABLE).where(mine).values(title=NEW, maker=NEW)
        )

    def refuses(self, store: str, write: Write) -> bool:
        """Whether `store` does."""
        if store == self.keeper:
            return isinstance(write, Remove) or _title(write) == OLD
        return store == self.store and (
            isinstance(write, Remove) if self.op == "delete" else _title(write) == NEW
        )


def insert(key: str, title: str) -> sa.Insert:
    return sa.insert(TABLE).values(id=key, title=title, maker=title)


def _title(write: Write) -> Any:
    return write.body["title"] if isinstance(write, Put) else None


@dataclass
class World:
    """The tables, the stores that refuse, and processes that may die."""

    own: OwnTables
    refusing: bool = True
    cases: dict[str, Case] = field(default_factory=dict)

    def process(self, steps: int = 1_000_000) -> None:
        """Apply what was committed until now, by a process that dies after so many steps."""
        self.own.connector.caught_up()
        countdown = Countdown(steps)
        settings = self.own.settings

        def made(*arguments: Any) -> list[Store]:
            return [self._store(store, countdown) for store in make_stores(*arguments)]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("processor.build.make_stores", made)
            patch.setattr("processor.build.LetterBox", lambda *given: _Box(LetterBox(*given), countdown))
            processor = Processor(settings.processor, lambda stop: build(settings, stop, (PROJECTION,)))
            try:
                assert processor.run(until_caught_up=True)
            finally:
                processor.close()

    def _store(self, store: Store, countdown: Countdown) -> Any:
        def refuses(_: View, write: Write) -> bool:
            case = self.cases.get(write.key)
            return self.refusing and case is not None and case.refuses(store.name, write)

        return Mortal(Refusing(store, refuses), countdown)

    def survives(self, run: str, steps: int) -> bool:
        """Whether the process that undoes all cases lives through so many steps; everything is asserted."""
        cases = [Case(run, *case) for case in product(OPS, STORES, (False, True))]
        self.cases = {case.key: case for case in cases}
        self.refusing = False
        self.own.execute(*(insert(case.key, OLD) for case in cases if case.before))
        self.process()
        self.refusing = True
        self.own.execute(*(case.statement for case in cases))
        survives = True
        try:
            self.process(steps)
        except Crash:
            survives = False
            assert self.lag() > 0
            self._assert_nothing_lost()
        self.process()
        self._assert_undone(cases)
        self.refusing = False
        assert self.replay() == len(cases)
        self.process()
        self.own.assert_equal()
        assert self.replay() == 0
        return survives

    def _assert_nothing_lost(self) -> None:
        """Every refused change that counts as done has its letter."""
        refused = {key: place for place, (key, value) in self.changes().items() if value is not None}
        committed, letters = self._group(GroupOffsets.committed), self.letters()
        for case in self.cases.values():
            topic, partition, offset = refused[kafka_key(("id",), {"id": case.key})]
            assert int(offset) >= committed[topic, int(partition)] or case.key in letters

    def _assert_undone(self, cases: Sequence[Case]) -> None:
        shown = self.titles()
        for store in STORES:
            expected = {case.key: case.shown(store) for case in cases}
            assert shown[store] == {key: title for key, title in expected.items() if title is not None}
        letters, changes = self.letters(), self.changes()
        for case in cases:
            places = set()
            for letter in letters[case.key]:
                headers = {name.removeprefix(PREFIX): value.decode() for name, value in letter.headers()}
                assert json.loads(headers["outcomes"]) == {store: case.outcome(store) for store in STORES}
                assert (headers["stage"], headers["store"]) == ("apply", case.store)
                place = (headers["topic"], headers["partition"], headers["offset"])
                assert (letter.key(), letter.value()) == changes[place]
                places.add(place)
            assert len(places) == 1
        assert self.lag() == 0

    def titles(self) -> dict[str, dict[str, str]]:
        """What every store shows, by key."""
        found = {}
        stores = {store.name: store for store in make_stores(self.own.settings)}
        for view in PROJECTION.views:
            store = stores[view.store]
            store.settle(view)
            keys = [key for key, _ in store.scan(view) if key in self.cases]
            found[view.store] = {key: str(r.body["title"]) for key, r in store.read(view, keys).items()}
        for store in stores.values():
            store.close()
        return found

    def letters(self) -> dict[str, list[Any]]:
        """Letters by key of their row."""
        topic = letter_topic(self.own.topic(PROJECTION))
        found: dict[str, list[Any]] = {}
        for record in records(self.own.settings, topic, dict.fromkeys(ends(self.own.settings, topic), 0)):
            key = parse_kafka_key(("id",), bytes(record.key() or b""))["id"]
            found.setdefault(key, []).append(record)
        return found

    def changes(self) -> dict[tuple[str, str, str], tuple[Any, Any]]:
        """Key and value of every change, by topic, partition and offset as text."""
        topic = self.own.topic(PROJECTION)
        found = records(self.own.settings, topic, dict.fromkeys(ends(self.own.settings, topic), 0))
        return {(topic, str(r.partition()), str(r.offset())): (r.key(), r.value()) for r in found}

    def lag(self) -> int:
        return self._group(lambda group: group.lag(group.ends()))

    def _group(self, ask: Callable[[GroupOffsets], T]) -> T:
        kafka = self.own.settings.kafka
        group = GroupOffsets(kafka, consumed_topics(kafka.topic_prefix, (PROJECTION,)))
        try:
            return ask(group)
        finally:
            group.close()

    def replay(self) -> int:
        """Rows that were asked for again."""
        kafka = self.own.settings.kafka
        topics = LetterTopics(kafka, by_topic(kafka.topic_prefix, (PROJECTION,)))
        try:
            return Replay(topics, Delivery(kafka), Options()).run(topics.spans()).sent
        finally:
            topics.close()


@dataclass
class _Box:
    """Posts letters; the process may die before and after that."""

    box: LetterBox
    countdown: Countdown

    def post(self, letters: Any) -> None:
        if not letters:
            return
        self.countdown.step()
        self.box.post(letters)
        self.countdown.step()


@contextmanager
def saga_world(pipeline: sa.Engine, settings: Settings) -> Iterator[World]:
    """Its processors take any number of letters."""
    patient = settings.processor.model_copy(update={"dead_letter_ratio": 1.0, "dead_letter_run": 1_000_000})
    with own_tables(dataclasses.replace(settings, processor=patient), pipeline, [PROJECTION]) as own:
        yield World(own)
