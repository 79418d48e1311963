"""Looks at every record of a table, page by page between batches: after TRUNCATE nothing names the rows.

A sweep of a partition begins only when all its changes that were there before have been applied: an insert
that came late would otherwise be written after the sweep had passed its place.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Final

from processor.delivery import partition_of
from processor.errors import Misconfigured
from processor.fanout import Fanout
from processor.keys import kafka_key
from processor.offsets import Offsets
from processor.refresh import Command, Request, Sweep, first_of, request
from processor.routes import Route
from processor.stores.base import Store
from processor.tables.base import View

log = logging.getLogger(__name__)
PAGE: Final = 500
"""Records looked at between two batches."""


class Sweeper:
    """One walk at a time; sweeps that wait meanwhile are joined, a scan of a store serves all of them."""

    def __init__(self, fanout: Fanout, ends: Callable[[], Offsets], done: Callable[[str, int], int]) -> None:
        """`ends()` of the topics; `done(topic, partition)` is how far this process has come."""
        self._fanout = fanout
        self._ends = ends
        self._done = done
        self._waiting: dict[str, tuple[Route, list[Sweep]]] = {}
        self._walk: _Walk | None = None

    def add(self, route: Route, sweep: Sweep) -> None:
        """To be walked after what is being walked now."""
        self._waiting.setdefault(route.topic, (route, []))[1].append(sweep)

    def since(self) -> Offsets:
        """The first offset of each place that asks for a sweep which is not finished."""
        waiting = [sweep for _, sweeps in self._waiting.values() for sweep in sweeps]
        walking = self._walk.sweeps if self._walk else []
        return first_of(sweep.message.place for sweep in (*waiting, *walking))

    def clear(self) -> None:
        """Forget all of them: their partitions were taken away."""
        self._waiting.clear()
        self._walk = None

    def step(self) -> list[Request]:
        """The next commands, each about one record's row.

        Raises:
            As `Fanout.run`.
        """
        if self._walk is None and self._waiting:
            self._walk = self._begin()
        walk = self._walk
        if walk is None or any(self._done(*place) < end for place, end in walk.after.items()):
            return []
        if not walk.pending:
            log.info("sweep of %s done: %d records", walk.route.projection.name, walk.seen)
            self._walk = None
            return []
        view = walk.pending[0]
        try:
            page = partial(walk.page, self._fanout.stores[view.store])
            return walk.requests(view, self._fanout.run({view.store: page})[view.store])
        except Misconfigured as error:
            log.error("%s is not swept any further: %s", view.name, error)  # noqa: TRY400
            return walk.requests(view, [])

    def _begin(self) -> _Walk:
        topic = next(iter(self._waiting))
        route, sweeps = self._waiting.pop(topic)
        partitions = {sweep.message.partition for sweep in sweeps}
        ends = self._fanout.run({"kafka": self._ends})["kafka"]
        after = {(name, n): end for (name, n), end in ends.items() if name == topic and n in partitions}
        return _Walk(route, sweeps, after)


class _Walk:
    """Through all views of a table, in the order of keys, for some partitions.

    Attributes:
        after: places that changes must have reached before it begins.
        pending: views still to be walked.
        seen: records so far.
    """

    def __init__(self, route: Route, sweeps: list[Sweep], after: Offsets) -> None:
        self.route = route
        self.sweeps = sweeps
        self.after = after
        stores = [sweep.stores for sweep in sweeps]
        self.pending = deque(
            view for view in route.projection.views if any(s is None or view.store in s for s in stores)
        )
        self.seen = 0
        self._partitions = {sweep.message.partition for sweep in sweeps}
        self._xids: frozenset[int | None] = frozenset(xid for sweep in sweeps for xid in sweep.xids)
        self._keys: Iterator[str] | None = None
        self._last: str | None = None

    def page(self, store: Store) -> list[str]:
        """The next keys; none at the end of the view. A scan that failed begins again behind the last."""
        view = self.pending[0]
        try:
            if self._keys is None:
                store.settle(view)
                self._keys = (key for key, _ in store.scan(view, self._last))
            keys = list(islice(self._keys, PAGE))
        except BaseException:
            self._keys = None  # a generator that has failed would look like one that has ended
            raise
        if keys:
            self._last = keys[-1]
        return keys

    def requests(self, view: View, keys: list[str]) -> list[Request]:
        """For those keys that lie on the partitions of these sweeps; no keys end the view."""
        if not keys:
            self.pending.popleft()
            self._keys, self._last = None, None
        self.seen += len(keys)
        return [made for key in keys for made in self._requests(view, key)]

    def _requests(self, view: View, key: str) -> Iterator[Request]:
        """One for each transaction that caused a sweep: each must be visible to the read."""
        projection = self.route.projection
        try:
            values = projection.parse_key(key)
        except ValueError:
            log.warning("%s: record %r is of no row's key and is left alone", view.store, key)
            return
        place = partition_of(kafka_key(projection.key_columns, values), self.route.partitions)
        if place not in self._partitions:
            return
        for xid in self._xids or {None}:
            command = Command(reason="sweep", stores=frozenset({view.store}), xid=xid)
            yield request(self.route.topic, projection, values, command)
