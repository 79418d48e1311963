"""Applies a planned batch to all stores at once, one thread each, and waits for those that cannot take it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from processor.errors import STORE_CODES, Unavailable
from processor.letters import Letter
from processor.pipeline import TablePlan
from processor.stores.base import Refused, Store
from processor.tables.base import View
from processor.writer import bring

log = logging.getLogger(__name__)
MAX_WAIT_SECONDS = 10

Refusals = dict[View, dict[str, Refused]]
Work = list[tuple[View, TablePlan]]


class Fanout:
    """All stores; `hold(seconds)` waits between tries without losing the place in the consumer group."""

    def __init__(self, stores: Sequence[Store], hold: Callable[[float], None]) -> None:
        self._stores = {store.name: store for store in stores}
        self._hold = hold
        self._threads = ThreadPoolExecutor(max_workers=max(1, len(stores)), thread_name_prefix="store")

    def apply(self, tables: Sequence[TablePlan]) -> list[Letter]:
        """Bring all stores to what the tables want; return a letter for every refused record.

        A store that is unavailable is waited for, however long: the others keep what they took.

        Raises:
            Misconfigured: an operator must act.
            Whatever `hold` raises: the batch is abandoned and will be read again.
        """
        pending: dict[str, Work] = {}
        for table in tables:
            for view in table.wanted:
                pending.setdefault(view.store, []).append((view, table))
        refused: Refusals = {}
        for attempt in Retrying(
            retry=retry_if_exception_type(Unavailable),
            wait=wait_random_exponential(0.2, max=MAX_WAIT_SECONDS),
            sleep=self._hold,
            before_sleep=_tell,
            reraise=True,
        ):
            with attempt:
                self._round(pending, refused)
        return [letter for table in tables for letter in _letters(table, refused)]

    def _round(self, pending: dict[str, Work], refused: Refusals) -> None:
        """One try of every store that is still to take the batch."""
        running = {
            name: self._threads.submit(self._bring_all, self._stores[name], work)
            for name, work in pending.items()
        }
        waiting: Unavailable | None = None
        for name, future in running.items():
            try:
                refused |= future.result()
                del pending[name]
            except Unavailable as error:
                waiting = error
        if waiting is not None:
            raise waiting

    @staticmethod
    def _bring_all(store: Store, work: Work) -> Refusals:
        return {view: bring(store, view, table.wanted[view]) for view, table in work}

    def close(self) -> None:
        """Wait for running calls, then close the stores."""
        self._threads.shutdown()
        for store in self._stores.values():
            store.close()


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0
    log.warning("waiting %.1f s for a store (try %d): %s", wait, state.attempt_number, error)


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
