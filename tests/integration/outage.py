"""Takes a store away while changes flow, gives it back, and looks at what that left behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ops.stack.layout import load_layout
from processor.build import make_stores
from processor.letters import letter_topic
from processor.offsets import GroupOffsets
from processor.settings import Settings
from processor.tables import by_topic, projection_of
from sql.models import Policy
from tests.integration.conftest import aegis
from tests.integration.path import (
    assert_stores_equal_postgresql,
    catch_up,
    delete,
    insert,
    policy,
    start_processor,
    unique,
    update,
)
from tests.integration.scratch_server import freeze, kill, thaw

ROWS = 60
STORES = [view.store for view in projection_of("policies").views]
Away = Callable[[str], AbstractContextManager[None]]


@contextmanager
def stopped(service: str) -> Iterator[None]:
    """The server is ended, and started again: its clients are refused meanwhile."""
    aegis("stack", "down", service)
    try:
        yield
    finally:
        aegis("stack", "up", service)


@contextmanager
def killed(service: str) -> Iterator[None]:
    """The server dies as by a loss of power, and is started again."""
    kill(load_layout(), service)
    try:
        yield
    finally:
        aegis("stack", "up", service)


@contextmanager
def frozen(service: str) -> Iterator[None]:
    """The server keeps its connections and answers nothing."""
    freeze(load_layout(), service)
    try:
        yield
    finally:
        thaw(load_layout(), service)


def letters(settings: Settings) -> int:
    """Dead letters of all tables."""
    topics = [letter_topic(topic) for topic in by_topic(settings.kafka.topic_prefix)]
    group = GroupOffsets(settings.kafka, topics)
    try:
        return group.retained()
    finally:
        group.close()


@contextmanager
def changes_flowing(engine: sa.Engine, prefix: str) -> Iterator[None]:
    """A writer that inserts, updates, hides and deletes rows of `prefix` until the end."""
    dice, enough = random.Random(prefix), threading.Event()  # noqa: S311
    mine = Policy.policy_id

    def write() -> None:
        while not enough.wait(0.02):
            key = f"{prefix}-{dice.randrange(ROWS)}"
            what = dice.randrange(10)
            with engine.begin() as connection:
                if what == 0:
                    connection.execute(sa.delete(Policy).where(mine == key))
                    connection.execute(sa.insert(Policy).values(policy(key, title="다시 생김")))
                elif what == 1:
                    connection.execute(
                        sa.update(Policy).where(mine == key).values(is_active=~Policy.is_active)
                    )
                else:
                    values = (
                        {"quality_score": round(dice.random(), 6)} if what < 8 else {"title": f"제목 {what}"}
                    )
                    connection.execute(sa.update(Policy).where(mine == key).values(**values))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        enough.set()
        writer.join()


def ride_out(settings: Settings, engine: sa.Engine, store: str, away: Away) -> None:
    """While `store` is away the others take the batch at hand; afterwards all are equal, without a letter."""
    prefix = unique(f"away-{store}")
    insert(engine, [policy(f"{prefix}-{n}") for n in range(ROWS)])
    processor = start_processor()
    try:
        catch_up(engine, settings)
        before = letters(settings)
        with away(store):
            update(engine, f"{prefix}-0", title="그동안")
            _await_title(settings, f"{prefix}-0", "그동안", [s for s in STORES if s != store])
            with changes_flowing(engine, prefix):
                threading.Event().wait(1)
        catch_up(engine, settings)
        assert letters(settings) == before
        assert assert_stores_equal_postgresql(settings, engine) > ROWS
    finally:
        processor.terminate()
        assert processor.wait(timeout=60) == 0
        delete(engine, prefix)


def _await_title(settings: Settings, key: str, title: str, names: list[str]) -> None:
    """Until each of the named stores shows the title."""
    stores = {store.name: store for store in make_stores(settings)}
    view_of = projection_of("policies").view
    patiently = Retrying(
        retry=retry_if_result(lambda shown: not shown), wait=wait_fixed(0.05), stop=stop_after_delay(60)
    )
    for name in names:
        patiently(lambda name=name: stores[name].read(view_of(name), [key])[key].body["title"] == title)
    for store in stores.values():
        store.close()
