"""A view without any record, beside a topic that was read before: its rows are asked for at the start.

So a store that joins later is filled, and one that has lost everything is filled again. What was read before
does not come again by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from processor.delivery import Delivery
from processor.offsets import Offsets
from processor.refresh import Command, request
from processor.routes import Route
from processor.source import RowReader
from processor.stores.base import Store
from processor.tables.base import View

log = logging.getLogger(__name__)
CHUNK: Final = 5_000
"""Commands that are sent before their acknowledgement is waited for."""


def empty_views(route: Route, stores: Iterable[Store], committed: Offsets) -> list[View]:
    """Those to be filled; a cache fills itself.

    Raises:
        Unavailable, Misconfigured: as for every store.
    """
    by_name = {store.name: store for store in stores}
    if not any(offset for (topic, _), offset in committed.items() if topic == route.topic):
        return []
    return [view for view in route.projection.views if not view.optional and _is_empty(by_name, view)]


def _is_empty(stores: dict[str, Store], view: View) -> bool:
    stores[view.store].settle(view)
    return not stores[view.store].count(view)


def fill(
    route: Route, views: Iterable[View], reader: RowReader, delivery: Delivery, stopped: Callable[[], bool]
) -> int:
    """Ask for all rows that readers are to see; how many.

    Raises:
        SourceError: PostgreSQL or Kafka does not answer.
    """
    stores = frozenset(view.store for view in views)
    command = Command(reason="a view without records", stores=stores)
    keys, count = reader.keys(route.projection), 0
    while not stopped() and (chunk := list(islice(keys, CHUNK))):
        delivery.send([request(route.topic, route.projection, key, command) for key in chunk])
        count += len(chunk)
    if count:
        log.warning(
            "%s: %d rows asked for, to fill %s", route.projection.name, count, ", ".join(sorted(stores))
        )
    return count
