"""What holds for one table holds for all: untidy values arrive as they are, and what one store refuses is
undone in the others until a replay makes them equal.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pytest
import sqlalchemy as sa

from processor.app import Processor
from processor.build import build, make_stores
from processor.compare import State, compare
from processor.dead_letters import DeadLetter
from processor.letter_topics import LetterTopics
from processor.rows import PLACEHOLDER
from processor.settings import Settings
from processor.source import read_all
from processor.stores.base import Put, Record, Store, Write
from processor.tables import PROJECTIONS, by_topic, projection_of
from processor.tables.base import Projection, View
from tests.integration.conftest import aegis
from tests.integration.path import in_kafka, unique
from tests.integration.rows import WRITTEN, Row, Written
from tests.refusing import Refusing

HOSTILE = [
    '"따옴표" \\ it\'s `{}[]():&=+,;%20*',
    "줄\n바꿈\r\t\x01\x7f",
    unicodedata.normalize("NFD", "한글 자모"),
    "🚀\u202e오른쪽\u00a0\u3000",
    "'; DROP TABLE policies; --",
    PLACEHOLDER,
]
ENUMERATED = {"status", "document_type"}
"""Columns whose checks name the values that they take."""
WRONG = [written.wrong for written in WRITTEN.values()]
VIEWS = [(table, view) for table in PROJECTIONS for view in table.views]


@dataclasses.dataclass
class World:
    """Rows of every table, and a processor whose stores refuse what they are told to."""

    engine: sa.Engine
    settings: Settings
    prefix: str
    refused: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    """Store -> keys, as text, of rows that it does not take with what is wrong in them."""

    def execute(self, *statements: sa.Executable) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def process(self) -> None:
        """Apply what was committed until now."""
        in_kafka(self.engine)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("processor.build.make_stores", self._stores)
            processor = Processor(self.settings.processor, lambda stop: build(self.settings, stop))
            try:
                assert processor.run(until_caught_up=True)
            finally:
                processor.close()

    def _stores(self, *arguments: Any) -> list[Any]:
        return [Refusing(store, self._refuses(store)) for store in make_stores(*arguments)]

    def _refuses(self, store: Store) -> Any:
        def refuses(view: View, write: Write) -> bool:
            if not isinstance(write, Put) or write.key not in self.refused.get(store.name, ()):
                return False
            return any(write.body.get(name) == value for name, value in WRONG)

        return refuses

    def records(self, projection: Projection, keys: list[str]) -> dict[str, dict[str, Record]]:
        """By store and key."""
        stores = {store.name: store for store in make_stores(self.settings)}
        found = {}
        for view in projection.views:
            stores[view.store].settle(view)
            found[view.store] = stores[view.store].read(view, keys)
        for store in stores.values():
            store.close()
        return found

    def assert_equal(self, projection: Projection, keys: list[str]) -> None:
        """Every store holds exactly the rows of those keys, field by field."""
        with self.engine.connect() as connection:
            rows = read_all(connection, projection)
        found = self.records(projection, keys)
        for view in projection.views:
            records, model = found[view.store], self.settings.embedding.model_id
            judged = {key: compare(projection, view, rows.get(key), records.get(key), model) for key in keys}
            wanted = {key: State.OK if key in rows else State.NOT_PROJECTED for key in keys}
            assert {key: each.state for key, each in judged.items()} == wanted, (view.store, judged)

    def letters(self, projection: Projection, keys: list[str]) -> dict[str, list[DeadLetter]]:
        """The open letters of those rows."""
        kafka = self.settings.kafka
        topics = LetterTopics(kafka, by_topic(kafka.topic_prefix, (projection,)))
        found: dict[str, list[DeadLetter]] = {}
        try:
            for letter in chain.from_iterable(map(topics.open_letters, topics.spans())):
                if letter.key in keys:
                    found.setdefault(letter.key, []).append(letter)
        finally:
            topics.close()
        return found


@pytest.fixture(scope="module")
def world(pipeline: sa.Engine, settings: Settings) -> Iterator[World]:
    patient = settings.processor.model_copy(update={"dead_letter_ratio": 1.0, "dead_letter_run": 1_000_000})
    prefix = unique("every")
    made = World(pipeline, dataclasses.replace(settings, processor=patient), prefix)
    yield made
    made.execute(*(sa.delete(w.table).where(w.mine(prefix)) for w in reversed(WRITTEN.values())))
    made.process()


def untidy(written: Written, name: str, text: str) -> Row:
    """A row with `text` wherever its table takes any."""
    made: Row = dict(written.row(name))
    kept = {column.name for column in written.key} | ENUMERATED
    for column in written.table.columns:
        if column.name in kept or column.foreign_keys or column.name not in made:
            continue
        if isinstance(column.type, sa.ARRAY):
            made[column.name] = [*made[column.name], text]
        elif isinstance(column.type, sa.JSON):
            made[column.name] = {text: [text, 1e300, None, {"": -0.5}]}
        elif isinstance(column.type, sa.String):
            made[column.name] = f"{made[column.name] or ''}{text}"[: column.type.length]
    return made


def test_untidy_values_arrive_as_they_are_and_go_with_their_row(world: World) -> None:
    named = {f"{world.prefix}-{n}": text for n, text in enumerate(HOSTILE)}
    names = list(named)
    keys = {table: [WRITTEN[table].key_text(name) for name in names] for table in WRITTEN}
    world.execute(
        *(
            sa.insert(written.table).values([untidy(written, *each) for each in named.items()])
            for written in WRITTEN.values()
        )
    )
    world.process()
    for projection in PROJECTIONS:
        world.assert_equal(projection, keys[projection.name])
    documents = world.records(*of("documents", keys))["elasticsearch"]
    shown = [documents[key].body["taxonomy_paths"] for key in keys["documents"]]
    assert shown == [[f"시험/{name}/{text}"] for name, text in named.items()]

    gone = [written.where(names[0]) for written in WRITTEN.values()]
    world.execute(
        *(
            sa.delete(written.table).where(condition)
            for written, condition in zip(reversed(WRITTEN.values()), reversed(gone), strict=True)
        )
    )
    world.process()
    for projection in PROJECTIONS:
        world.assert_equal(projection, keys[projection.name])
        for records in world.records(projection, keys[projection.name][:1]).values():
            assert records == {}
        assert world.letters(projection, keys[projection.name]) == {}


def of(table: str, keys: Mapping[str, list[str]]) -> tuple[Projection, list[str]]:
    return projection_of(table), keys[table]


def test_what_a_store_refuses_is_undone_in_all_and_a_replay_makes_them_equal(world: World) -> None:
    """A row for each table and each of its stores, which refuses the row's next image."""
    names = {(table.name, view.store): f"{world.prefix}/{view.store}" for table, view in VIEWS}
    keys = {place: WRITTEN[place[0]].key_text(name) for place, name in names.items()}
    for table, written in WRITTEN.items():
        mine = {names[place] for place in names if place[0] == table}
        others = {name for place, name in names.items() if written_before(table, place[0])}
        world.execute(sa.insert(written.table).values([written.row(name) for name in sorted(mine | others)]))
    world.process()
    before = {place: world.records(projection_of(place[0]), [key]) for place, key in keys.items()}

    world.refused = {store: {key for place, key in keys.items() if place[1] == store} for _, store in keys}
    world.execute(*(changed(WRITTEN[table], name) for (table, _), name in names.items()))
    world.process()
    for place, key in keys.items():
        projection = projection_of(place[0])
        after, was = (shown(found, key) for found in (world.records(projection, [key]), before[place]))
        assert after == was, place
        letters = world.letters(projection, [key])[key]
        assert {(each.stage, each.store, each.outcomes[place[1]]) for each in letters} == {
            ("apply", place[1], "rejected")
        }
        assert len({each.failed for each in letters}) == len(letters)

    world.refused = {}
    began = min(
        letter.first_failed_at
        for place, key in keys.items()
        for letter in world.letters(projection_of(place[0]), [key])[key]
    )
    aegis("dlq", "replay", "--since", datetime.fromtimestamp(began / 1000, UTC).isoformat())
    world.process()
    for place, key in keys.items():
        world.assert_equal(projection_of(place[0]), [key])
        assert world.records(projection_of(place[0]), [key]) != before[place]


def written_before(table: str, other: str) -> bool:
    """Whether a row of `other` refers to one of `table` by its name."""
    return WRITTEN[other].refers and any(
        key.column.table is WRITTEN[table].table for key in WRITTEN[other].table.foreign_keys
    )


def changed(written: Written, name: str) -> sa.Update:
    """In what every view shows, and a vector is made of."""
    column, value = written.wrong
    return sa.update(written.table).where(written.where(name)).values({column: value})


def shown(records: dict[str, dict[str, Record]], key: str) -> dict[str, Any]:
    """What readers see of a row, by store; the entry of a cache may have been dropped."""
    return {store: found[key].body for store, found in records.items() if store != "redis"}
