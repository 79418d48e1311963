"""Applies a planned batch to all stores at once, one thread each, and waits for those that cannot take it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final

from processor.embed import Embedder
from processor.errors import STORE_CODES, Unavailable
from processor.letters import Letter
from processor.pipeline import TablePlan
from processor.stores.base import Refused, Store
from processor.tables.base import View
from processor.waiting import Waiting, patiently
from processor.writer import bring

PATIENCE_SECONDS: Final = 0.5
"""How long calls may run before the consumer is polled meanwhile. Short calls are not disturbed: a poll while
partitions are paused empties the client's fetch queue."""

Refusals = dict[View, dict[str, Refused]]
Work = list[tuple[View, TablePlan]]


class Fanout:
    """All stores. `embedder` serves the one store that has views with a text: one thread uses it."""

    def __init__(self, stores: Sequence[Store], waiting: Waiting, embedder: Embedder | None = None) -> None:
        self._stores = {store.name: store for store in stores}
        self._waiting = waiting
        self._embedder = embedder
        self._threads = ThreadPoolExecutor(max_workers=max(1, len(stores)), thread_name_prefix="store")

    def apply(self, tables: Sequence[TablePlan]) -> list[Letter]:
        """Bring all stores to what the tables want; return a letter for every refused record.

        A store that is unavailable is waited for, however long: the others keep what they took.

        Raises:
            Misconfigured: an operator must act.
            Whatever the waiting raises: the batch is abandoned and will be read again.
        """
        pending: dict[str, Work] = {}
        for table in tables:
            for view in table.wanted:
                pending.setdefault(view.store, []).append((view, table))
        refused: Refusals = {}
        patiently(lambda: self._round(pending, refused), Unavailable, self._waiting.hold)
        return [letter for table in tables for letter in _letters(table, refused)]

    def _round(self, pending: dict[str, Work], refused: Refusals) -> None:
        """One try of every store that is still to take the batch."""
        running = {
            name: self._threads.submit(self._bring_all, self._stores[name], work)
            for name, work in pending.items()
        }
        self._wait(list(running.values()))
        waiting: Unavailable | None = None
        for name, future in running.items():
            try:
                refused |= future.result()
                del pending[name]
            except Unavailable as error:
                waiting = error
        if waiting is not None:
            raise waiting

    def _wait(self, calls: Collection[Future[Refusals]]) -> None:
        """Until all calls are done: no call of an abandoned batch may meet the next batch's."""
        try:
            if wait(calls, PATIENCE_SECONDS).not_done:
                self._waiting.stay(calls)
        finally:
            wait(calls)

    def _bring_all(self, store: Store, work: Work) -> Refusals:
        return {view: bring(store, view, table.wanted[view], self._embedder) for view, table in work}

    def close(self) -> None:
        """Wait for running calls, then close the stores."""
        self._threads.shutdown()
        if self._embedder is not None:
            self._embedder.close()
        for store in self._stores.values():
            store.close()


def _letters(table: TablePlan, refused: Mapping[View, Mapping[str, Refused]]) -> list[Letter]:
    """One letter per change that any store refused, with every store's outcome."""
    letters = []
    for key, change in table.changes.items():
        reasons = {
            view.store: refused[view][key].reason for view in table.wanted if key in refused.get(view, {})
        }
        if not reasons:
            continue
        store, reason = next(iter(reasons.items()))
        letters.append(
            Letter(
                message=change.message,
                stage="apply",
                code=STORE_CODES.get(store, ""),
                exception="Rejected",
                reason=f"{table.projection.name} {key}: {store}: {reason}",
                store=store,
                outcomes={
                    view.store: "rejected" if view.store in reasons else "applied" for view in table.wanted
                },
            )
        )
    return letters
