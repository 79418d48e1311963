"""Measures when a committed change is visible in each store, and to a search of the index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

from elasticsearch import Elasticsearch

from processor.build import make_stores
from processor.database import make_engine
from processor.settings import Settings
from processor.stores.base import Store
from processor.stores.elasticsearch import ElasticsearchStore
from processor.tables import projection_of
from processor.tables.base import View

LOOK_EVERY_SECONDS: Final = 0.003
SEARCH: Final = "search"

Seen = Mapping[str, float]
"""Place -> milliseconds from the commit until it showed the change; places are the stores and `SEARCH`."""


class Watch:
    """Changes one policy in PostgreSQL and looks for each change in every store at once."""

    def __init__(self, settings: Settings, key: str, patience: Callable[[], None]) -> None:
        """`patience` is called while waiting; it raises when waiting makes no sense any more."""
        self.key = key
        self._patience = patience
        self._engine = make_engine(settings.postgres.url())
        self._stores = {store.name: store for store in make_stores(settings)}
        self._client = Elasticsearch(settings.search.url)
        views = projection_of("policies").views
        self._looks = {view.store: self._by_key(self._stores[view.store], view) for view in views}
        self._looks[SEARCH] = self._by_search()
        self._threads = ThreadPoolExecutor(len(self._looks))

    def change(self, statement: Any, title: str | None) -> Seen:
        """Commit `statement`, then wait until all places show the policy with `title` (None: not at all)."""
        self.execute(statement)
        committed = time.monotonic()
        waits = {
            place: self._threads.submit(self._wait, committed, look, title)
            for place, look in self._looks.items()
        }
        return {place: wait.result() for place, wait in waits.items()}

    def execute(self, statement: Any) -> None:
        """Commit `statement`."""
        with self._engine.begin() as connection:
            connection.execute(statement)

    def close(self) -> None:
        """Release all connections."""
        self._threads.shutdown(cancel_futures=True)
        self._client.close()
        for store in self._stores.values():
            store.close()
        self._engine.dispose()

    def _wait(self, committed: float, look: Callable[[], Any], title: str | None) -> float:
        while look() != title:
            self._patience()
            time.sleep(LOOK_EVERY_SECONDS)
        return (time.monotonic() - committed) * 1000

    def _by_key(self, store: Store, view: View) -> Callable[[], Any]:
        def look() -> Any:
            record = store.read(view, [self.key]).get(self.key)
            return None if record is None else record.body["title"]

        return look

    def _by_search(self) -> Callable[[], Any]:
        store = self._stores[ElasticsearchStore.name]
        assert isinstance(store, ElasticsearchStore)
        index = store.index(projection_of("policies").view(store.name))

        def look() -> Any:
            found = self._client.search(index=index, query={"term": {"policy_id": self.key}})
            hits = found["hits"]["hits"]
            return hits[0]["_source"]["title"] if hits else None

        return look


@contextmanager
def watching(settings: Settings, key: str, patience: Callable[[], None]) -> Iterator[Watch]:
    """A Watch that is closed at the end."""
    watch = Watch(settings, key, patience)
    try:
        yield watch
    finally:
        watch.close()
