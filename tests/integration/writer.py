"""Writes the same keys over and over while a server is troubled, and knows what it has acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count

from processor.errors import Unavailable
from processor.stamp import Stamp
from processor.stores.base import Applied, Put, Store
from processor.tables.base import View
from processor.vector import Vector
from tests.conformance import body

Trouble = tuple[Callable[[], None], Callable[[], None]]
"""What troubles a server, and what ends that."""


class Writer(threading.Thread):
    """Reads stamps and writes, as the processor does; each round under the next version.

    `vector` goes with every record, in a store of vectors.
    """

    def __init__(self, store: Store, view: View, vector: Vector | None = None) -> None:
        super().__init__()
        self.keys = [f"k-{n}" for n in range(200)]
        self.acknowledged = dict.fromkeys(self.keys, 0)
        self.rounds, self.failures, self.last = 0, 0, 0
        self.trouble: list[BaseException] = []
        self._store, self._view, self._vector = store, view, vector
        self._changed, self._enough = threading.Condition(), threading.Event()

    def run(self) -> None:
        for self.last in count(1):
            try:
                self._write(Stamp(self.last, self.last, None, "f"))
                self.rounds += 1
            except Unavailable:
                self.failures += 1
            except BaseException as error:
                self.trouble.append(error)
            with self._changed:
                self._changed.notify_all()
            if self._enough.is_set() or self.trouble:
                return

    def _write(self, stamp: Stamp) -> None:
        found = self._store.stamps(self._view, self.keys)
        values = body(str(stamp.version))
        puts = [Put(key, found.get(key), stamp, values, self._vector) for key in self.keys]
        for key, outcome in zip(self.keys, self._store.apply(self._view, puts), strict=True):
            if outcome == Applied():
                self.acknowledged[key] = stamp.version

    def live_through(self, *troubles: Trouble, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Write before, during and after each trouble; `meanwhile()` once it was noticed. Then `check`."""
        self.start()
        try:
            for begin, cure in troubles:
                self.await_rounds(5)
                begin()
                self.await_failure()
                meanwhile()
                cure()
            self.await_rounds(5)
        finally:
            self.end()
        self.check()

    def await_rounds(self, more: int) -> None:
        """Wait until that many further rounds have passed."""
        goal = self.rounds + more
        self._await(lambda: self.rounds >= goal)

    def await_failure(self) -> None:
        """Wait until the trouble has been noticed."""
        goal = self.failures + 1
        self._await(lambda: self.failures >= goal)

    def _await(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: bool(self.trouble) or condition(), timeout=60)

    def end(self) -> None:
        """End after the present round."""
        self._enough.set()
        self.join()

    def check(self) -> None:
        """Nothing acknowledged is lost, every record is whole, and only Unavailable was ever raised."""
        assert self.trouble == []
        kept = {key: held.stamp.version for key, held in self._store.stamps(self._view, self.keys).items()}
        assert kept.keys() == set(self.keys)
        assert {key: version for key, version in kept.items() if version < self.acknowledged[key]} == {}
        assert max(kept.values()) <= self.last
        names = {key: record.body["name"] for key, record in self._store.read(self._view, self.keys).items()}
        assert names == {key: str(version) for key, version in kept.items()}
