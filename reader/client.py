"""The cache as services use it: memory of this process, then Redis, then PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from processor.errors import RowRejected
from processor.settings import PostgresSettings, RedisSettings, read_block
from processor.source import RowReader
from processor.tables import PROJECTIONS
from processor.tables.base import Projection
from reader import metrics
from reader.catalog import QUALITY, Catalog
from reader.entries import Entry
from reader.flights import Flights
from reader.lease import Lease
from reader.settings import HOUR, CacheSettings
from reader.shared import Shared

log = logging.getLogger(__name__)


class CacheClient:
    """Reads what readers are to see. One per process, for all its threads.

    Redis may be away: answers come from PostgreSQL then. Every method that reads raises

        SourceError: the cache has no entry, and PostgreSQL does not answer.
        ConfigurationError: a right or a table is missing: `aegis migrate`.
    """

    def __init__(
        self,
        postgres: PostgresSettings,
        redis: RedisSettings,
        cache: CacheSettings,
        projections: Sequence[Projection] = PROJECTIONS,
    ) -> None:
        """Connects when it is first used."""
        # also where the processor's entries never expire: what a reader writes is bounded by its life
        self._catalog = Catalog(projections, redis.ttl_seconds or HOUR, cache.quality_seconds)
        self._shared = Shared(redis, cache)
        self._source = RowReader(postgres, cache.postgres_connections, cache.postgres_seconds)
        self._flights = Flights[bytes | None]()

    @classmethod
    def from_environment(cls) -> Self:
        """With the settings POSTGRES_*, REDIS_* and CACHE_*.

        Raises:
            ConfigurationError: one of them is wrong.
        """
        return cls(read_block(PostgresSettings), read_block(RedisSettings), read_block(CacheSettings))

    def get(self, table: str, key: str) -> dict[str, Any] | None:
        """A row's public view, as the processor writes it; None when there is no row, or it is not shown.

        `key` is as everywhere: the plain value, or `column=value,column=value`.

        Raises:
            ConfigurationError: the cache does not show that table.
        """
        found: dict[str, Any] | None = self._answer(self._catalog.row(table, key))
        return found

    def policy_metadata(self, policy_id: str) -> dict[str, Any] | None:
        """A policy without its content: what a list of results shows."""
        found: dict[str, Any] | None = self._answer(self._catalog.of_row("policy_metadata", policy_id))
        return found

    def quality_score(self, policy_id: str) -> float | None:
        """A policy's quality, 0 to 1: as computed last, else as the policy says; None if it is not shown."""
        found: float | None = self._answer(self._catalog.of_row(QUALITY, policy_id))
        return found

    def keys(self, kind: str, value: str) -> list[str]:
        """Keys of the rows shown for a region, industry or organisation, in byte order.

        `kind` is `policies:region`, `policies:industry`, `policies:organization`, `business_rules:region` or
        `business_rules:industry`.

        Raises:
            ConfigurationError: there is no such list.
        """
        return self._answer(self._catalog.keys(kind, value)) or []

    def _answer(self, entry: Entry | None) -> Any:
        if entry is None:
            return None
        found = self._cached(entry)
        if found is None:
            metrics.MISSES.labels(entry.kind).inc()
            text = self._flights.once(entry.name, lambda: self._load(entry))
            found = None if text is None else entry.value(text)
        return found

    def _cached(self, entry: Entry) -> Any:
        text = self._shared.get(entry.kind, entry.name)
        return None if text is None else entry.value(text)

    def _load(self, entry: Entry) -> bytes | None:
        """Each caller makes his own value of the text: some change what they are given.

        That there is nothing to show is remembered nowhere: it is one look-up by key, and names that nobody
        has would fill the cache.
        """
        lease, is_there = self._shared.lease(entry.name)
        if is_there:
            text = self._shared.get(entry.kind, entry.name)
            if text is not None and entry.value(text) is not None:
                return text
        outcome = "failed"
        try:
            text, outcome = self._load_under(entry, lease)
        finally:
            metrics.LOADS.labels(entry.kind, outcome).inc()
            if lease is not None and outcome in {"failed", "absent"}:
                self._shared.release(entry.name, lease)
        return text

    def _load_under(self, entry: Entry, lease: Lease | None) -> tuple[bytes | None, str]:
        """(the entry's text, what became of it)."""
        found, moment = self._source.see(entry.find)
        if found is None:
            return None, "absent"
        try:
            text = entry.text(found, moment.end)
        except RowRejected as error:
            log.warning(
                "%s cannot be shown by any store: %s; aegis dlq list names its letter", entry.name, error
            )
            return None, "absent"
        if lease is None:
            return text, "lost"
        filled = self._shared.fill(entry.name, lease, text, entry.seconds, moment, found.locker)
        return text, filled

    def close(self) -> None:
        """Close all connections."""
        self._shared.close()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
