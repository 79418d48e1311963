"""The first level: what Redis has told us, until it says that it changed (redis-py's client-side caching).

One connection serves all threads, one after another: redis-py lets the thread that uses one connection read
what came in on others, which may be an answer that their threads wait for. Entries live no longer than their
connection: nobody would tell of changes that were made while it was away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from cachetools import TTLCache
from redis import Redis
from redis.backoff import NoBackoff
from redis.cache import CacheConfig, CacheEntry, CacheEntryStatus, CacheKey, CacheProxy, DefaultCache
from redis.connection import CacheProxyConnection, ConnectionPool
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from processor.errors import Unavailable
from processor.settings import RedisSettings

NAME = "redis"


class Tracked:
    """GET, answered by this process where it can be."""

    def __init__(
        self,
        settings: RedisSettings,
        timeout_seconds: float,
        entries: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """At most so many entries, for at most so many seconds each."""
        self._turn = threading.Lock()
        self._timeout = timeout_seconds
        self._prefix = settings.key_prefix
        self._kept = _Kept(entries, seconds, clock)
        tls = {"ssl_ca_certs": str(settings.ca_file)} if settings.ca_file else {}
        pool = _Pool.from_url(
            settings.url,
            username=settings.user,
            password=settings.password.get_secret_value() or None,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),  # the caller goes on without
            protocol=3,
            cache=CacheProxy(self._kept),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            **tls,
        )
        self._client = Redis(connection_pool=pool)

    def get(self, name: str) -> tuple[bytes | None, bool]:
        """(value of an entry, or None; whether Redis was asked for it).

        Raises:
            Unavailable: Redis does not answer, or other threads wait for it.
        """
        if not self._turn.acquire(timeout=self._timeout):
            raise Unavailable(NAME, "other threads wait for its answers")
        try:
            return self._get(f"{self._prefix}{name}".encode())
        except ResponseError as error:
            if str(error).startswith("WRONGTYPE"):  # no entry of ours
                return None, True
            raise Unavailable(NAME, str(error)) from error
        except RedisError as error:
            raise Unavailable(NAME, f"does not answer: {error}") from error
        finally:
            self._turn.release()

    def _get(self, name: bytes) -> tuple[bytes | None, bool]:
        before = self._kept.asked
        value = cast("bytes | None", self._client.get(name))
        return value, self._kept.asked != before

    def close(self) -> None:
        """Close the connection."""
        self._client.connection_pool.disconnect()


class _Kept(DefaultCache):
    """redis-py's cache with an age limit, and without its walk through all entries at every invalidation."""

    def __init__(self, entries: int, seconds: float, clock: Callable[[], float]) -> None:
        super().__init__(CacheConfig(max_size=entries))
        self._cache: Any = TTLCache(entries, seconds, clock)
        self.asked = 0

    def set(self, entry: CacheEntry) -> bool:
        """Keep an answer, or (IN_PROGRESS) that Redis is being asked."""
        self.asked += entry.status is CacheEntryStatus.IN_PROGRESS
        if not self.is_cachable(entry.cache_key):
            return False
        self._cache[entry.cache_key] = entry
        return True

    def get(self, key: CacheKey) -> CacheEntry | None:
        """What is kept; the least recently used one gives way to others."""
        return cast("CacheEntry | None", self._cache.get(key))

    def delete_by_redis_keys(self, redis_keys: Sequence[bytes] | Sequence[str]) -> list[bool]:
        """What Redis says has changed; we ask by GET and nothing else."""
        found = [CacheKey("GET", (key,), ("GET", key)) for key in redis_keys]
        return [self._cache.pop(key, None) is not None for key in found]


class _Connection(CacheProxyConnection):
    """A connection whose server tells of changes."""

    def connect(self) -> None:
        """Without redis-py's check of the product: Valkey and Redis before 7.4 track as well."""
        if not self.is_connected:
            with self._cache_lock:
                self._cache.flush()
        self._conn.connect()  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """An error is no answer: left in progress, its entry would keep the next call waiting for one."""
        key = self._current_command_cache_key
        try:
            return super().read_response(*args, **kwargs)
        except BaseException:
            if key is not None:
                with self._cache_lock:
                    self._cache.delete_by_cache_keys([key])
            raise


class _Pool(ConnectionPool):
    """redis-py's, with our connections."""

    def make_connection(self) -> CacheProxyConnection:
        """A new one."""
        made = _Connection  # redis-py's annotations take it for abstract
        return made(self.connection_class(**self.connection_kwargs), self.cache, self._lock)  # type: ignore[abstract,arg-type]
