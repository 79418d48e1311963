"""Writers of the soak, each a thread of its own pace, until they are told to end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import sqlalchemy as sa
from psycopg import errors

from tests.integration.rows import RENAMED, WRITTEN
from tests.soak import changes

NOT_NOW = (
    errors.LockNotAvailable,
    errors.DeadlockDetected,
    errors.UniqueViolation,
    errors.ForeignKeyViolation,
)
"""Another writer was faster, or holds the row for seconds, or others refer to it: the change is left out."""
LOCK_SECONDS = {"truncate": 8.0, "truncate apart": 8.0}
"""How long a change waits for others; TRUNCATE until long transactions have ended."""
A_MOMENT = 0.1
Change = Callable[[sa.Connection, "World"], int]


@dataclass
class World:
    """What a writer knows: the prefix of all names, how many rows a table has, and its own dice."""

    prefix: str
    rows: int
    dice: Random
    enough: threading.Event

    def name(self) -> str:
        """Any of the rows, or what it is called after a change of its key."""
        name = f"{self.prefix}-{self.dice.randrange(self.rows)}"
        return name + RENAMED if self.dice.random() < 0.1 else name


class Traffic:
    """Writers at work."""

    def __init__(self, engine: sa.Engine, prefix: str, rows: int, seed: str) -> None:
        self._engine, self._prefix, self._rows, self._seed = engine, prefix, rows, seed
        self._enough = threading.Event()
        self._began = time.monotonic()
        self.done: Counter[str] = Counter()
        """Changes committed, by writer."""

    def __str__(self) -> str:
        seconds = time.monotonic() - self._began
        counts = ", ".join(f"{name} {number}" for name, number in sorted(self.done.items()))
        return f"{sum(self.done.values()) / seconds:.0f} changes a second for {seconds:.0f} s ({counts})"

    @contextmanager
    def flowing(self, *writers: tuple[str, float, Change]) -> Iterator[None]:
        """Run writers: a name, how often a second, what to do.

        Raises:
            Whatever a writer met: then fewer changes flowed than the test believes.
        """
        self._enough.clear()
        self._began = time.monotonic()
        self.done.clear()
        with ThreadPoolExecutor(len(writers)) as pool:
            running = [pool.submit(self._write, *writer) for writer in writers]
            try:
                yield
            finally:
                self._enough.set()
        for writer in running:
            writer.result()

    def _write(self, name: str, rate: float, change: Change) -> None:
        world = World(self._prefix, self._rows, Random(f"{self._seed}/{name}"), self._enough)  # noqa: S311
        due = time.monotonic()
        with self._engine.connect() as connection:
            wait = int(1_000 * LOCK_SECONDS.get(name, A_MOMENT))
            connection.execute(sa.text(f"SET lock_timeout = {wait}"))
            connection.commit()
            while not self._enough.wait(max(due - time.monotonic(), 0)):
                due = max(due + 1 / rate, time.monotonic() - 1)  # what a stall left out is not made up for
                self._change(connection, name, change, world)

    def _change(self, connection: sa.Connection, name: str, change: Change, world: World) -> None:
        try:
            number = change(connection, world)
            connection.commit()
            self.done[name] += number
        except changes.TakenBack:
            connection.rollback()
        except NOT_NOW:  # of COPY, which SQLAlchemy does not know
            connection.rollback()
        except (sa.exc.OperationalError, sa.exc.IntegrityError) as error:
            connection.rollback()
            if not isinstance(error.orig, NOT_NOW):
                raise


def heavy() -> list[tuple[str, float, Change]]:
    """About 200 changes a second, up to five of them of texts, and all that makes comparing hard."""
    return [
        ("policies", 25.0, changes.change_of(WRITTEN["policies"])),
        ("users", 25.0, changes.change_of(WRITTEN["users"])),
        ("business_rules", 20.0, changes.change_of(WRITTEN["business_rules"])),
        ("documents", 10.0, changes.change_of(WRITTEN["documents"])),
        ("taxonomy_nodes", 5.0, changes.change_of(WRITTEN["taxonomy_nodes"])),
        ("doc_taxonomy", 10.0, changes.change_of(WRITTEN["doc_taxonomy"])),
        ("text", 4.0, changes.text),
        ("long", 0.3, changes.long),
        ("long again", 0.3, changes.long),
        ("lock", 1.0, changes.lock),
        ("copy", 0.05, changes.copy),
        ("truncate", 0.02, changes.truncate),
        ("truncate apart", 0.01, changes.truncate_apart),
    ]


def light() -> list[tuple[str, float, Change]]:
    """A few changes a second."""
    return [(name, 1.0, changes.change_of(WRITTEN[name])) for name in WRITTEN]
