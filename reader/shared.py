"""The second level: Redis, shared with the processor and other readers. Its failures end here."""

from __future__ import annotations

import logging
from typing import Final

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.errors import StoreError
from processor.settings import RedisSettings
from processor.source import Moment
from processor.stores.redis_leases import RedisLeases
from reader import lease as leases
from reader import metrics
from reader.lease import Lease
from reader.pause import Pause
from reader.settings import CacheSettings
from reader.tracked import Tracked

log = logging.getLogger(__name__)
POLL_SECONDS: Final = 0.02


class Shared:
    """Entries by name. Where Redis cannot be used, it is as if there were none, and none can be made."""

    def __init__(self, redis: RedisSettings, cache: CacheSettings) -> None:
        self._tracked = Tracked(redis, cache.timeout_seconds, cache.process_entries, cache.process_seconds)
        self._store = RedisLeases(redis.model_copy(update={"timeout_seconds": cache.timeout_seconds}))
        self._reading = Pause(cache.pause_seconds)
        self._writing = Pause(cache.pause_seconds)  # of its own: a server without memory still answers reads

    def get(self, kind: str, name: str) -> bytes | None:
        """An entry's text."""
        if self._reading.is_on:
            return None
        try:
            text, asked = self._tracked.get(name)
        except StoreError as error:
            self._failed(self._reading, "read", error)
            return None
        if text is not None:
            metrics.HITS.labels(kind, "redis" if asked else "process").inc()
        return text

    def lease(self, name: str) -> tuple[Lease | None, bool]:
        """(the right to make an entry, if there is one; whether the entry is there by now).

        If somebody else is loading it, wait a little for his entry.
        """
        offer = Lease.new()
        waiting = Retrying(
            retry=retry_if_result(lambda found: _is_anothers(found, offer)),
            wait=wait_fixed(POLL_SECONDS),
            stop=stop_after_delay(leases.WAIT_SECONDS),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        standing: Lease | str | None = waiting(self._ask_for, name, offer)
        if isinstance(standing, Lease):
            return (None if _is_anothers(standing, offer) else standing), False
        return None, standing is not None

    def _ask_for(self, name: str, offer: Lease) -> Lease | str | None:
        """The lease that stands; '' if the entry is there; None if Redis cannot be asked."""
        if self._reading.is_on or self._writing.is_on:
            return None
        try:
            standing = self._store.lease(name, offer.text, leases.SECONDS)
        except StoreError as error:
            self._failed(self._writing, "write", error)
            return None
        return Lease.parse(standing) if standing else standing

    def fill(
        self, name: str, lease: Lease, text: bytes, seconds: int, moment: Moment, locker: int | None
    ) -> str:
        """Make the entry if what was read under the lease counts; the outcome as metrics.LOADS says."""
        if lease.admits(moment.snapshot, locker):
            return "filled" if self._end(name, lease, text, seconds) else "lost"
        left = lease.after(moment.snapshot)
        return "open" if self._end(name, lease, b"", 1, left.text) else "lost"

    def release(self, name: str, lease: Lease) -> None:
        """There is nothing to make an entry of: let nobody wait for it."""
        self._end(name, lease, b"", 1)

    def _end(self, name: str, lease: Lease, text: bytes, seconds: int, leave: str = "") -> bool:
        if self._writing.is_on:
            return False
        try:
            return self._store.fill(name, lease.text, text, seconds, leave, leases.SECONDS)
        except StoreError as error:
            self._failed(self._writing, "write", error)
            return False

    def _failed(self, pause: Pause, work: str, error: StoreError) -> None:
        pause.begin()
        metrics.ERRORS.labels(work).inc()
        log.warning("the cache is not used for a while: %s; %s", error, error.hint or "aegis stack status")

    def close(self) -> None:
        """Close the connections."""
        self._tracked.close()
        self._store.close()


def _is_anothers(standing: Lease | str | None, offer: Lease) -> bool:
    """Whether somebody else is loading."""
    return isinstance(standing, Lease) and standing != offer and standing.following is None
