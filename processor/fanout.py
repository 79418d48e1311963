"""Works with all stores at once, one thread each, and waits for those that are away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import chain, repeat
from typing import Any, Final, TypeVar

from processor import metrics
from processor.decide import Wanted
from processor.embed import Embedder
from processor.errors import AegisError, SourceError, Unavailable
from processor.lease import Lease
from processor.stores.base import Store
from processor.tables.base import View
from processor.waiting import Waiting, patiently
from processor.writer import Brought, bring

PATIENCE_SECONDS: Final = 0.5
"""How long calls may run before the consumer is polled meanwhile. Short calls are not disturbed: a poll while
partitions are paused empties the client's fetch queue."""

T = TypeVar("T")
AllWanted = Mapping[View, Mapping[str, Wanted]]
"""View -> key -> what its store is to show."""


def nothing() -> None:
    """What is done meanwhile, mostly."""


class Fanout:
    """All stores, by name. `embedder` serves the one that has views with a text: one thread uses it.

    Nothing begins after the `lease` has ended.
    """

    def __init__(
        self,
        stores: Sequence[Store],
        waiting: Waiting,
        embedder: Embedder | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.stores = {store.name: store for store in stores}
        self.embedder = embedder
        self._waiting = waiting
        self._lease = lease
        self._threads = ThreadPoolExecutor(max_workers=max(1, len(stores)), thread_name_prefix="store")

    def bring(self, wanted: AllWanted, meanwhile: Callable[[], None] = nothing) -> dict[View, Brought]:
        """Bring all stores to what is wanted of them; `meanwhile` is done while they are at it.

        A store that is unavailable is waited for, however long: the others keep what they took.

        Raises:
            Misconfigured: an operator must act.
            Whatever the waiting raises: the batch is abandoned and will be read again.
        """
        views: dict[str, list[View]] = {}
        for view, found in wanted.items():
            if found:
                views.setdefault(view.store, []).append(view)
        brought = {view: Brought() for mine in views.values() for view in mine}
        tasks = {name: partial(self._bring_all, mine, wanted, brought) for name, mine in views.items()}
        self.run(tasks, meanwhile)
        return brought

    def run(
        self, tasks: Mapping[str, Callable[[], T]], meanwhile: Callable[[], None] = nothing
    ) -> dict[str, T]:
        """Do all tasks at once, each in a thread; what a server that is away did not let end is tried again.

        `meanwhile` is done once in this thread.

        Raises:
            Misconfigured: an operator must act.
            Whatever the waiting raises: the batch is abandoned and will be read again.
        """
        pending, done = dict(tasks), dict[str, T]()
        with metrics.Work(pending) as work:
            asides = chain([meanwhile], repeat(nothing))
            once = lambda: self._round(pending, done, work, next(asides))  # noqa: E731
            patiently(once, (Unavailable, SourceError), self._waiting.hold)
        return done

    def _round(
        self,
        pending: dict[str, Callable[[], T]],
        done: dict[str, T],
        work: metrics.Work,
        aside: Callable[[], None],
    ) -> None:
        """One try of every task that is still to end."""
        running = {name: self._threads.submit(self._in_time, name, task) for name, task in pending.items()}
        self._wait(list(running.values()), aside)
        waiting: AegisError | None = None
        for name, future in running.items():
            try:
                done[name] = future.result()
                del pending[name]
                work.done(name)
            except (Unavailable, SourceError) as error:
                work.waits(name, error)
                waiting = error
        if waiting is not None:
            raise waiting

    def _in_time(self, name: str, task: Callable[[], T]) -> T:
        """A process that has lost its partitions and does not know it must not even begin to decide: what its
        successor has removed looks to it as if it had never been.
        """
        if self._lease:
            self._lease.check(name, PATIENCE_SECONDS)
        return task()

    def _wait(self, calls: Collection[Future[Any]], aside: Callable[[], None]) -> None:
        """Until all calls are done: no call of an abandoned batch may meet the next batch's."""
        try:
            aside()
            if wait(calls, PATIENCE_SECONDS).not_done:
                self._waiting.stay(calls)
        finally:
            wait(calls)

    def _bring_all(self, views: Sequence[View], wanted: AllWanted, brought: Mapping[View, Brought]) -> None:
        for view in views:
            bring(self.stores[view.store], view, wanted[view], self.embedder, brought[view])

    def close(self) -> None:
        """Wait for running calls, then close the stores."""
        self._threads.shutdown()
        if self.embedder is not None:
            self.embedder.close()
        for store in self.stores.values():
            store.close()
