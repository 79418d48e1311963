"""Takes a store away while changes flow, gives it back, and looks at what that left behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ops.stack import process
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
def restarted(service: str) -> Iterator[None]:
    """The server alone is ended in good order, and started again: those that need it live on meanwhile."""
    process.stop(load_layout(), service)
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


def until(condition: Callable[[], bool], seconds: float = 180) -> None:
    """Look until it is so; fail after `seconds`."""
    looking = Retrying(
        retry=retry_if_result(lambda so: not so), wait=wait_fixed(0.1), stop=stop_after_delay(seconds)
    )
    looking(condition)


def letters(settings: Settings) -> int:
    """Dead letters of all tables."""
    topics = [letter_topic(topic) for topic in by_topic(settings.kafka.topic_prefix)]
    group = GroupOffsets(settings.kafka, topics)
    try:
        return group.retained()
    finally:
        group.close()


@contextmanager
def changes_flowing(engine: sa.Engine, prefix: str, writers: int = 1) -> Iterator[None]:
    """Writers that insert, update, hide and delete rows of `prefix` until the end.

    Raises:
        Whatever a writer met: then fewer changes flowed than the test believes.
    """
    enough = threading.Event()
    with ThreadPoolExecutor(writers) as pool:
        running = [pool.submit(_write, engine, prefix, f"{prefix}/{n}", enough) for n in range(writers)]
        try:
            yield
        finally:
            enough.set()
    for writer in running:
        writer.result()


def _write(engine: sa.Engine, prefix: str, seed: str, enough: threading.Event) -> None:
    """One transaction after the other; some change two rows and stay open meanwhile.

    Then later changes of other rows lie before theirs in the log, and come after them in the stream.
    """
    dice = random.Random(seed)  # noqa: S311
    with engine.connect() as connection:
        while not enough.wait(0.02):
            first, second = sorted(dice.sample(range(ROWS), 2))  # in one order: no two wait for each other
            with connection.begin():
                _change(connection, f"{prefix}-{first}", dice)
                if dice.random() < 0.2:
                    enough.wait(0.05)
                    _change(connection, f"{prefix}-{second}", dice)


def _change(connection: sa.Connection, key: str, dice: random.Random) -> None:
    """Mostly an update; a row may also go, come, or both at once."""
    what, mine = dice.randrange(20), Policy.policy_id == key
    if what < 2:
        connection.execute(sa.delete(Policy).where(mine))
    if what in {1, 2, 3, 4}:
        connection.execute(pg.insert(Policy).values(policy(key, title="다시 생김")).on_conflict_do_nothing())
    elif what < 8:
        connection.execute(sa.update(Policy).where(mine).values(is_active=~Policy.is_active))
    elif what < 18:
        score = round(dice.random(), 6)
        connection.execute(sa.update(Policy).where(mine).values(quality_score=score))
    else:
        connection.execute(sa.update(Policy).where(mine).values(title=f"제목 {dice.randrange(10)}"))


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
    for name in names:
        until(lambda name=name: stores[name].read(view_of(name), [key])[key].body["title"] == title)  # type: ignore[misc]
    for store in stores.values():
        store.close()
