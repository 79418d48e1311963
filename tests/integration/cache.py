"""Readers beside a processor whose every step is the test's, on real servers, with names of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import REGISTRY
from pydantic import SecretStr
from redis import Redis
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.change import Change, Message, Op, Source
from processor.keys import key_text
from processor.pipeline import plan_batch
from processor.routes import make_routes
from processor.settings import PostgresSettings, RedisSettings, Settings
from processor.source import read_rows
from processor.stores.redis import RedisStore
from processor.tables import PROJECTIONS, projection_of
from processor.tables.base import Projection
from processor.writer import bring
from reader import CacheClient, CacheSettings
from reader.tracked import Tracked
from sql.migrate import Roles, upgrade
from sql.models import Base
from sql.positions import insert_lsn
from tests.integration.scratch import scratch_database, scratch_roles

POLICIES, USERS, RULES = (projection_of(name) for name in ("policies", "users", "business_rules"))
POLICY: Mapping[str, Any] = {
    "title": "청년 창업 특례 보증",
    "content": "만 39세 이하",
    "issuing_organization": "기술보증기금",
    "target_regions": ["11", "26"],
    "target_industries": ["J"],
    "source_system": "test",
    "status": "active",
    "is_active": True,
    "quality_score": 0.9,
}
USER: Mapping[str, Any] = {"name": "A", "department": "Engineering"}


@dataclass
class Work:
    """A transaction, and its changes as the stream brings them once it has committed."""

    connection: sa.Connection
    changes: list[Change] = field(default_factory=list)

    def insert(self, table: str, **values: Any) -> None:
        self._change(table, values, sa.insert(Base.metadata.tables[table]).values(values))

    def update(self, table: str, key: Mapping[str, Any], **values: Any) -> None:
        self._change(table, key, sa.update(Base.metadata.tables[table]).filter_by(**key).values(values))

    def delete(self, table: str, **key: Any) -> None:
        self._change(table, key, sa.delete(Base.metadata.tables[table]).filter_by(**key))

    def _change(self, table: str, values: Mapping[str, Any], statement: sa.Executable) -> None:
        projection = projection_of(table)
        key = {name: values[name] for name in projection.key_columns}
        before = self._row(projection, key)
        position = insert_lsn(self.connection)
        self.connection.execute(statement)
        after = self._row(projection, key)
        xid = self.connection.scalar(sa.text("SELECT pg_current_xact_id()::text::bigint & 4294967295"))
        op = Op.DELETE if after is None else Op.UPDATE if before else Op.CREATE
        message = Message(topic_of(projection), 0, position, b"", b"", (), 0)
        text = key_text(projection.key_columns, key)
        source = Source(position, position, xid)
        self.changes.append(Change(message, table, text, key, op, before, after, source))

    def _row(self, projection: Projection, key: Mapping[str, Any]) -> Any:
        return next(iter(read_rows(self.connection, projection, [key]).values()), None)


def topic_of(projection: Projection) -> str:
    return f"test.{projection.full_name}"


@dataclass
class Scene:
    """A database, a part of a cache, the processor's adapter and readers."""

    engine: sa.Engine
    postgres: PostgresSettings
    redis: RedisSettings
    store: RedisStore
    raw: Redis
    clients: list[CacheClient] = field(default_factory=list)
    epoch: int = 0
    """Of the processor; readers do not know it."""

    def client(self, redis: Mapping[str, Any] | None = None, **cache: Any) -> CacheClient:
        settings = CacheSettings.model_validate({"timeout_seconds": 5, **cache})
        made = CacheClient(self.postgres, self.redis.model_copy(update=redis or {}), settings)
        self.clients.append(made)
        return made

    @contextmanager
    def open(self) -> Iterator[Work]:
        """Committed at the end, and not processed by itself."""
        with self.engine.begin() as connection:
            yield Work(connection)

    @contextmanager
    def done(self) -> Iterator[Work]:
        """Committed, then processed."""
        with self.open() as work:
            yield work
        self.process(work.changes)

    def process(self, changes: Sequence[Change]) -> None:
        """What the processor does with a batch, in the cache."""
        routes = make_routes({topic_of(p): p for p in PROJECTIONS}, {topic_of(p): 12 for p in PROJECTIONS})
        for table in plan_batch(changes, routes, epoch=self.epoch).tables:
            view = table.projection.view("redis")
            bring(self.store, view, table.wanted[view])

    def shown(self, projection: Projection) -> dict[str, dict[str, Any]]:
        """Body by key of every row that readers are to see."""
        with self.engine.connect() as connection:
            query = sa.select(*(projection.table.c[name] for name in projection.key_columns))
            keys = [dict(row) for row in connection.execute(query).mappings()]
            rows = read_rows(connection, projection, keys) if keys else {}
        view = projection.view("redis")
        return {k: projection.body(view, row) for k, row in rows.items() if projection.predicate(row)}

    def names(self) -> set[str]:
        """Entries and leases."""
        prefix = self.redis.key_prefix
        return {name.decode().removeprefix(prefix) for name in self.raw.scan_iter(f"{prefix}*", count=1_000)}

    def forget(self, *names: str) -> None:
        """As if they had expired."""
        self.raw.unlink(*(f"{self.redis.key_prefix}{name}" for name in names))

    def cut(self, client: CacheClient) -> None:
        """End the connection over which Redis tells the client of changes."""
        number = client._shared._tracked._client.client_id()
        assert self.raw.client_kill_filter(_id=str(number)) == 1

    def tell(self) -> None:
        """Wait until all clients have heard of what has changed: their server answers in order."""
        for client in self.clients:
            heard(client._shared._tracked)

    def until_filled(self, name: str, read: Callable[[], object]) -> None:
        """Read until nobody writes in the whole server, so that the read counts."""
        Retrying(
            retry=retry_if_result(lambda _: name not in self.names()),
            wait=wait_fixed(0.01),
            stop=stop_after_delay(60),
        )(read)


@contextmanager
def scene(settings: Settings, migrated: sa.Engine, roles: Roles, url: str | None = None) -> Iterator[Scene]:
    """With policies P1 and P2 and a user, all processed; the entries are absent, as if they had expired."""
    prefix = f"test-{uuid.uuid4().hex}-"
    redis = settings.redis.model_copy(
        update={"key_prefix": prefix, "url": url or settings.redis.url, "ttl_seconds": 3_600}
    )
    postgres = settings.postgres.model_copy(
        update={
            "db": str(migrated.url.database),
            "processor_user": roles.processor.name,
            "processor_password": SecretStr(roles.processor.password),
        }
    )
    with Redis.from_url(redis.url) as raw:
        made = Scene(migrated, postgres, redis, RedisStore(redis), raw)
        with made.open() as work:
            for table in ("policies", "users", "business_rules", "quality_metrics"):
                work.connection.execute(sa.delete(Base.metadata.tables[table]))
            work.insert("policies", policy_id="P1", **POLICY)
            work.insert("policies", policy_id="P2", **{**POLICY, "target_regions": ["26"]})
            work.insert("users", id=ID, email="a@company.com", **USER)
        try:
            yield made
        finally:
            for client in made.clients:
                client.close()
            made.store.close()
            names = list(raw.scan_iter(f"{prefix}*", count=1_000))
            if names:
                raw.unlink(*names)


ID = "5c1b1c3e-0000-4000-8000-00000000000a"


@contextmanager
def cache_database(settings: Settings) -> Iterator[tuple[sa.Engine, Roles]]:
    """A migrated database of the tests' own, with its roles."""
    with scratch_roles(settings) as roles, scratch_database(settings) as engine:
        upgrade(engine, roles)
        pooled = sa.create_engine(engine.url)
        try:
            yield pooled, roles
        finally:
            pooled.dispose()


@pytest.fixture(scope="module")
def database(settings: Settings) -> Iterator[tuple[sa.Engine, Roles]]:
    """Migrated; the rows of a scene go with it."""
    with cache_database(settings) as made:
        yield made


@pytest.fixture
def here(settings: Settings, database: tuple[sa.Engine, Roles]) -> Iterator[Scene]:
    """On the shared Redis."""
    with scene(settings, *database) as made:
        yield made


def heard(tracked: Tracked) -> None:
    """Wait until Redis has told of all changes that it has made."""
    tracked._client.ping()


def after_the_read(client: CacheClient, step: Callable[[], object]) -> None:
    """Do `step` once, after the client's next read of PostgreSQL and before it writes what it has read."""
    source = client._source
    see = source.see

    def seen(look: Any) -> Any:
        found = see(look)
        source.see = see  # type: ignore[method-assign]
        step()
        return found

    source.see = seen  # type: ignore[method-assign]


@dataclass
class Counted:
    """Rows or lists that a client has asked PostgreSQL for."""

    statements: list[str] = field(default_factory=list)


@contextmanager
def queries(client: CacheClient) -> Iterator[Counted]:
    counted = Counted()

    def before(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if " \nFROM " in statement:
            counted.statements.append(statement)

    engine = client._source._engine
    sa.event.listen(engine, "before_cursor_execute", before)
    try:
        yield counted
    finally:
        sa.event.remove(engine, "before_cursor_execute", before)


def count(name: str, **labels: str) -> float:
    """A number of reader/metrics.py."""
    return REGISTRY.get_sample_value(f"aegis_cache_{name}_total", labels) or 0.0
