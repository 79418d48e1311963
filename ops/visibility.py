"""Measures when a committed change is visible in the index: by its key, and to a search."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from elasticsearch import Elasticsearch

from processor.settings import Settings
from processor.stores.elasticsearch import ElasticsearchStore
from processor.tables import projection_of

LOOK_EVERY_SECONDS: Final = 0.002


@dataclass(frozen=True)
class Seen:
    """How long after its commit a change was visible, in milliseconds."""

    by_key: float
    by_search: float


class Watch:
    """Changes one policy in PostgreSQL and looks for each change in the index."""

    def __init__(self, settings: Settings, key: str, patience: Callable[[], None]) -> None:
        """`patience` is called while waiting; it raises when waiting makes no sense any more."""
        self.key = key
        self._patience = patience
        self._engine = sa.create_engine(settings.postgres.url())
        self._store = ElasticsearchStore(settings.search)
        self._client = Elasticsearch(settings.search.url)
        self._view = projection_of("policies").view(self._store.name)

    def change(self, statement: Any, title: str | None) -> Seen:
        """Commit `statement`, then wait until the index shows the policy with `title` (None: not at all)."""
        self.execute(statement)
        committed = time.monotonic()
        by_key = self._wait(committed, lambda: self._title_by_key() == title)
        return Seen(by_key, self._wait(committed, lambda: self._title_by_search() == title))

    def execute(self, statement: Any) -> None:
        """Commit `statement`."""
        with self._engine.begin() as connection:
            connection.execute(statement)

    def close(self) -> None:
        """Release all connections."""
        self._client.close()
        self._store.close()
        self._engine.dispose()

    def _wait(self, committed: float, shown: Callable[[], bool]) -> float:
        while not shown():
            self._patience()
            time.sleep(LOOK_EVERY_SECONDS)
        return (time.monotonic() - committed) * 1000

    def _title_by_key(self) -> Any:
        record = self._store.read(self._view, [self.key]).get(self.key)
        return None if record is None else record.body["title"]

    def _title_by_search(self) -> Any:
        query = {"term": {"policy_id": self.key}}
        hits = self._client.search(index=self._store.index(self._view), query=query)["hits"]["hits"]
        return hits[0]["_source"]["title"] if hits else None


@contextmanager
def watching(settings: Settings, key: str, patience: Callable[[], None]) -> Iterator[Watch]:
    """A Watch that is closed at the end."""
    watch = Watch(settings, key, patience)
    try:
        yield watch
    finally:
        watch.close()
