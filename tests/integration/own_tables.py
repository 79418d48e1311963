"""Tables of a test's own on their whole way: publication, connector, topics, processor, all four stores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from processor.app import Processor
from processor.build import build, make_stores
from processor.compare import State, compare
from processor.letters import letter_topic
from processor.refresh import refresh_topic
from processor.rows import Row
from processor.settings import Settings
from processor.source import read_all
from processor.stores.base import Record, Remove
from processor.tables import by_topic, topic_of
from processor.tables.base import Projection
from tests.integration.path import records_of
from tests.integration.test_second_connector import Second, second_connector

PARTITIONS = 3
CDC = "cdc.heartbeat, cdc.fence, cdc.signal"


@dataclasses.dataclass(frozen=True)
class OwnTables:
    """`settings` are those of a processor for these tables only."""

    settings: Settings
    engine: sa.Engine
    connector: Second
    projections: tuple[Projection, ...]

    def topic(self, projection: Projection) -> str:
        return topic_of(self.connector.name, projection)

    def execute(self, *statements: sa.Executable) -> None:
        """In one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def process(self) -> None:
        """Apply all that was committed until now, and what that causes."""
        self.connector.caught_up()
        processor = Processor(
            self.settings.processor, lambda stop: build(self.settings, stop, self.projections)
        )
        assert processor.run(until_caught_up=True)
        processor.close()

    def rows(self, projection: Projection) -> dict[str, Row]:
        with self.engine.connect() as connection:
            return read_all(connection, projection)

    def assert_equal(self) -> dict[str, dict[str, dict[str, Record]]]:
        """Every store holds exactly the rows, field by field; the records by table, store and key."""
        stores = {store.name: store for store in make_stores(self.settings)}
        found: dict[str, dict[str, dict[str, Record]]] = {}
        for projection in self.projections:
            rows = self.rows(projection)
            for view in projection.views:
                records = records_of(stores[view.store], view)
                found.setdefault(projection.name, {})[view.store] = records
                assert records.keys() == {key for key, row in rows.items() if projection.predicate(row)}
                for key, record in records.items():
                    judged = compare(projection, view, rows[key], record, self.settings.embedding.model_id)
                    assert judged.state is State.OK, (view.store, key, judged)
        for store in stores.values():
            store.close()
        return found

    def forget_records(self, keep: int = 0) -> None:
        """Remove all records but the first few: what an earlier run left, or as if a store had lost them."""
        for store in make_stores(self.settings):
            for projection in self.projections:
                for view in projection.views:
                    if view.store == store.name:
                        store.ensure(view)
                        keys = [key for key, _ in store.scan(view)][keep:]
                        held = store.stamps(view, keys)
                        store.apply(view, [Remove(key, held[key]) for key in held])
            store.close()


@contextmanager
def own_tables(
    settings: Settings, engine: sa.Engine, projections: Sequence[Projection], identity: str = "FULL"
) -> Iterator[OwnTables]:
    """Make the tables, capture them, and remove all of it at the end."""
    with second_connector(settings, engine) as connector:
        kafka = settings.kafka.model_copy(
            update={"topic_prefix": connector.name, "group_id": connector.name, "partitions": PARTITIONS}
        )
        own = OwnTables(dataclasses.replace(settings, kafka=kafka), engine, connector, tuple(projections))
        own.forget_records()
        with engine.begin() as connection:
            _create(connection, settings, connector.name, own.projections, identity)
        _make_topics(own)
        names = ",".join(projection.full_name for projection in projections)
        included = f"{names},{CDC}".replace(" ", "")
        connector.apply(publication__name=connector.name, table__include__list=included)
        try:
            yield own
        finally:
            connector.remove()
            with engine.begin() as connection:
                connection.execute(sa.text(f"DROP PUBLICATION {connector.name}"))
                for projection in reversed(projections):
                    connection.execute(sa.text(f"DROP TABLE {projection.full_name}"))


def _create(
    connection: sa.Connection,
    settings: Settings,
    name: str,
    projections: Sequence[Projection],
    identity: str,
) -> None:
    tables = ", ".join(projection.full_name for projection in projections)
    connection.execute(sa.text(f"DROP TABLE IF EXISTS {tables} CASCADE"))
    for projection in projections:
        projection.table.create(connection)
        connection.execute(sa.text(f"ALTER TABLE {projection.full_name} REPLICA IDENTITY {identity}"))
    roles = f"{settings.postgres.debezium_user}, {settings.postgres.processor_user}"
    connection.execute(sa.text(f"GRANT SELECT ON {tables} TO {roles}"))
    connection.execute(sa.text(f"CREATE PUBLICATION {name} FOR TABLE {tables}, {CDC}"))


def _make_topics(own: OwnTables) -> None:
    admin = AdminClient(own.settings.kafka.client())
    made = [
        NewTopic(name, PARTITIONS, 1)
        for topic in by_topic(own.connector.name, own.projections)
        for name in (topic, refresh_topic(topic), letter_topic(topic))
    ]
    for future in admin.create_topics(made).values():
        future.result()
