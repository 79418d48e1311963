"""Milvus, the vector store: one collection per view and model, one entity per row.

Milvus has no conditional write. A lease guards instead (processor/lease.py); what it cannot prevent,
reconciliation heals. Every read is strongly consistent, every write names every column: milvus-lite merges an
upsert into the entity, a server replaces it. Nothing is ever flushed: acknowledged writes are in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import numpy as np

from processor.errors import Misconfigured, RowRejected
from processor.lease import Lease
from processor.settings import MilvusSettings
from processor.stamp import Stamp
from processor.stores.base import Applied, Held, Outcome, Record, Refused, Remove, Restamp, Write
from processor.stores.chunks import chunks
from processor.stores.milvus_client import NAME, Connection, Doubt
from processor.stores.milvus_collections import Collections
from processor.stores.milvus_schema import (
    KEY,
    STAMP_COLUMNS,
    VECTOR,
    Entity,
    after,
    columns_of,
    entity_of_put,
    entity_of_restamp,
    held_of,
    key_fits,
    one_of,
    record_of,
    size_of,
    stamp_of,
)
from processor.tables.base import View

PAGE: Final = 5_000
"""Keys per page of a scan: under a server's window of 16,384; milvus-lite reads all rows for each page."""
CHUNK_ITEMS: Final = 500
CHUNK_BYTES: Final = 4 * 1024 * 1024
"""Of one upsert: a server takes 64 MB, milvus-lite 0.15 s per MB."""
FILTER_BYTES: Final = 64 * 1024
"""Of the keys in one filter: a server of the 2.3 line takes 13 ms to read 1 kB of Hangul."""
NOBODY: Final = ""
"""A key that no record has."""
T = TypeVar("T")


class MilvusStore:
    """Adapter of Milvus: it reads and writes the collection of `model`, whichever readers see.

    So a store of another model fills its collection beside (`build`), until `switch` shows it to readers.

    Attributes:
        model: identity of the weights that make the vectors.
        dim: components of a vector.
    """

    name = NAME

    def __init__(self, settings: MilvusSettings, model: str, dim: int, lease: Lease | None = None) -> None:
        self._connection = Connection(settings)
        self._collections = Collections(self._connection, model, dim)
        self.model = model
        self.dim = dim
        self._lease = lease

    def collection(self, view: View) -> str:
        """Name of the view's collection for this store's model."""
        return self._collections.name(view)

    def ensure(self, view: View) -> None:
        """Create collection, index and alias; check that readers see this store's model."""
        self._collections.ensure(view)

    def shown(self, view: View) -> tuple[str, int] | None:
        """Model and dimension of the vectors that readers see; None for none at all."""
        return self._collections.shown(view)

    def build(self, view: View) -> str:
        """Create and load the collection, whatever readers see now; its name."""
        return self._collections.build(view)

    def switch(self, view: View) -> None:
        """Let readers see this store's collection from now on."""
        self._collections.switch(view)

    def drop_others(self, view: View) -> list[str]:
        """Drop the view's collections of other models, once readers see this one; their names."""
        return self._collections.drop_others(view)

    def stamps(self, view: View, keys: Sequence[str]) -> dict[str, Held]:
        """Read whole entities: a later Restamp writes every column again."""
        return {entity[KEY]: held_of(entity, self.model) for entity in self._get(view, keys)}

    def read(self, view: View, keys: Sequence[str]) -> dict[str, Record]:
        """Read whole entities."""
        return {entity[KEY]: record_of(view, entity, self.model) for entity in self._get(view, keys)}

    def _get(self, view: View, keys: Sequence[str]) -> Iterator[Entity]:
        for chunk in chunks([key for key in keys if key_fits(key)], _length, FILTER_BYTES, CHUNK_ITEMS):
            yield from self._get_chunk(view, chunk)

    def _get_chunk(self, view: View, keys: Sequence[str]) -> list[Entity]:
        query = self._query(view, filter=one_of(keys), output_fields=list(columns_of(view, self.dim)))
        try:
            found = self._connection.ask(query, self.collection(view))
        except Doubt as doubt:
            if len(keys) == 1:
                raise doubt.error() from doubt
            # long texts can make an answer too big (100 MB), which a server tells as 65535
            half = len(keys) // 2
            return self._get_chunk(view, keys[:half]) + self._get_chunk(view, keys[half:])
        return [{**entity, VECTOR: np.array(entity[VECTOR], dtype=np.float32)} for entity in found]

    def _query(self, view: View, **arguments: Any) -> Callable[[Any], list[Entity]]:
        name, seconds = self.collection(view), self._connection.seconds
        return lambda client: list(
            client.query(name, consistency_level="Strong", timeout=seconds, **arguments)
        )

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        """Removals, then upserts; what is wrong with an entity concerns that entity only."""
        outcomes: dict[str, Outcome] = {}
        entities: list[Entity] = []
        for write in writes:
            try:
                entities += self._entities(view, write)
                outcomes[write.key] = Applied()
            except RowRejected as error:
                outcomes[write.key] = Refused(str(error))
        # a Remove that expects no record is about other entries, which a collection has none of
        removed = [write.key for write in writes if isinstance(write, Remove) and write.expected]
        for keys in chunks(removed, _length, FILTER_BYTES, CHUNK_ITEMS):
            self._delete(view, keys)
        for chunk in chunks(entities, size_of, CHUNK_BYTES, CHUNK_ITEMS):
            outcomes |= self._upsert(view, chunk)
        return [outcomes[write.key] for write in writes]

    def _entities(self, view: View, write: Write) -> list[Entity]:
        if isinstance(write, Remove):
            return []
        if isinstance(write, Restamp):
            return [entity_of_restamp(write)]
        return [entity_of_put(view, write, self.model, self.dim)]

    def _delete(self, view: View, keys: Sequence[str]) -> None:
        name = self.collection(view)
        self._connection.call(
            lambda client: client.delete(name, filter=one_of(keys), timeout=self._time_to_write()), name
        )

    def _upsert(self, view: View, entities: list[Entity]) -> dict[str, Outcome]:
        """Halve what the server refuses, down to the entity that it refuses alone."""
        name = self.collection(view)
        try:
            self._connection.ask(
                lambda client: client.upsert(name, entities, timeout=self._time_to_write()), name
            )
        except Doubt as doubt:
            if len(entities) == 1:
                return {entities[0][KEY]: self._verdict(view, entities[0], doubt)}
            half = len(entities) // 2
            return self._upsert(view, entities[:half]) | self._upsert(view, entities[half:])
        return {entity[KEY]: Applied() for entity in entities}

    def _verdict(self, view: View, entity: Entity, doubt: Doubt) -> Outcome:
        """The entity is to blame if the server takes another write, the removal of what nobody has, and then
        refuses the entity once more.
        """
        if doubt.permanent:
            return Refused(str(doubt))
        self._delete(view, [NOBODY])
        name = self.collection(view)
        try:
            self._connection.ask(
                lambda client: client.upsert(name, [entity], timeout=self._time_to_write()), name
            )
        except Doubt as again:
            return Refused(str(again))
        return Applied()

    def _time_to_write(self) -> float:
        """Time-out of one try, in seconds: pymilvus tries again until it has passed, so it may pass twice.

        Asked right before each try: one that follows the loading of a collection needs a lease of its own.
        """
        if self._lease:
            self._lease.check(self.name, self._connection.seconds)
        return self._connection.seconds / 2

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
        """Page by key; only an empty page is the end, because a server's pages may come short."""
        last = after
        while page := self._page(view, last):
            for entity in page:
                if last is not None and entity[KEY].encode() <= last.encode():
                    raise Misconfigured(
                        self.name, f"{self.collection(view)} is not read in the order of keys"
                    )
                last = entity[KEY]
                yield last, stamp_of(entity)

    def _page(self, view: View, last: str | None) -> list[Entity]:
        # the last two are what pymilvus' own iterator sends, for pages in the order of keys
        query = self._query(
            view,
            filter=after(last),
            output_fields=[KEY, *STAMP_COLUMNS],
            limit=PAGE,
            iterator="True",
            reduce_stop_for_best="True",
        )
        return self._connection.call(query, self.collection(view))

    def count(self, view: View) -> int:
        """Entities."""
        query = self._query(view, output_fields=["count(*)"])
        return int(self._connection.call(query, self.collection(view))[0]["count(*)"])

    def settle(self, view: View) -> None:
        """Nothing to wait for: reads are strongly consistent."""

    def ping(self) -> None:
        """List the collections."""
        self._connection.call(lambda client: client.list_collections(timeout=self._connection.seconds))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _length(key: str) -> int:
    return len(key.encode())
