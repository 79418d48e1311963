"""The cache, on Redis 7 or Valkey: one string per row under `<prefix><view>:<key>`.

The value is the row's public view as JSON, for readers to `GET`, with the stamp as its first member.
Comparing it, writing, the expiry and dropping what others computed from the row are one script: nobody sees a
new row beside an old list.

Readers make absent entries of rows that they load (reader/), under a lease that every write of the processor
drops in the same step: see reader/lease.py.

An entry that expired or was evicted is just not there, which is no error. A server restored from an old
snapshot, or a replica promoted behind its primary, shows old rows until they expire or are reconciled.

Redis Cluster is not supported: a script's keys would lie on several nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.exceptions import RedisError
from redis.retry import Retry

from processor.errors import Misconfigured, Unavailable
from processor.settings import RedisSettings
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Applied, Held, LostRace, Outcome, Record, Refused, Restamp, Write
from processor.stores.redis_entry import LEASES, READ_HEADS, WRITE, arguments, record_of, stamp_of
from processor.stores.spill import Spill
from processor.tables.base import View

NAME: Final = "redis"
PAGE: Final = 1_000
_NOT_NOW: Final[Mapping[str, str | None]] = {
    "OOM": "raise the server's maxmemory, or let it evict: maxmemory-policy volatile-ttl",
    "READONLY": "point REDIS_URL to the primary",
    "MISCONF": "see the server's log: it cannot write to its disk",
    "NOREPLICAS": "start the server's replicas",
    **dict.fromkeys(("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOSCRIPT")),
}
"""Error codes that pass, with what helps."""
_DENIED: Final = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
)


class RedisStore:
    """Adapter of the cache."""

    name = NAME

    def __init__(self, settings: RedisSettings) -> None:
        ca_file = str(settings.ca_file) if settings.ca_file else None
        tls = {"ssl_ca_certs": ca_file} if settings.url.startswith("rediss") else {}
        self._settings = settings
        self._client = Redis.from_url(
            settings.url,
            username=settings.user,
            password=settings.password.get_secret_value() or None,
            socket_timeout=settings.timeout_seconds,
            socket_connect_timeout=settings.timeout_seconds,
            retry=Retry(NoBackoff(), 0),  # the processor waits and retries
            protocol=2,  # the third brings notifications that only some servers and accounts know
            **tls,
        )
        self._heads_of = self._client.register_script(READ_HEADS)
        self._write = self._client.register_script(WRITE)

    def _name(self, view: View, key: str) -> bytes:
        return f"{self._settings.key_prefix}{view.name}:{key}".encode()

    def ensure(self, view: View) -> None:
        """Check that the server is no cluster, and that the view's names are told from others'."""
        names = (f"{LEASES}:", *view.invalidates)
        if ":" in view.name or any(name.startswith(f"{view.name}:") for name in names):
            raise Misconfigured(
                self.name,
                f"entries of view {view.name} would be mistaken for others'",
                hint="rename the view, or what it invalidates, in processor/tables",
            )
        with self._calling():
            clustered = self._client.info("cluster").get("cluster_enabled")
        if clustered:
            raise Misconfigured(
                self.name,
                f"{self._address} is a Redis Cluster, whose scripts cannot reach keys of several nodes",
                hint="point REDIS_URL to a server with cluster-enabled no",
            )

    def stamps(self, view: View, keys: Sequence[str]) -> dict[str, Held]:
        """Read the beginnings of the records; each is also the token that a write compares."""
        with self._calling():
            heads = self._heads(self._client, [self._name(view, key) for key in keys])
        return {key: Held(stamp_of(head), head) for key, head in zip(keys, heads, strict=True) if head}

    def _heads(self, client: Redis, names: Sequence[bytes]) -> list[bytes]:
        """In pages: a script keeps the server from everything else."""
        pages = (names[start : start + PAGE] for start in range(0, len(names), PAGE))
        return [head for page in pages for head in self._heads_of(keys=page, client=client)]

    def read(self, view: View, keys: Sequence[str]) -> dict[str, Record]:
        """Read whole records."""
        with self._calling(), self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.get(self._name(view, key))
            answers = self._answers(pipe, foreign="WRONGTYPE")
        found = ((key, answer) for key, answer in zip(keys, answers, strict=True) if answer is not None)
        return {
            key: record_of(answer) if isinstance(answer, bytes) else Record(UNREADABLE, {})
            for key, answer in found
        }

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        """One script call per write, all sent at once."""
        argvs = [arguments(write, self._settings.ttl_seconds * 1_000) for write in writes]
        with self._calling(), self._client.pipeline(transaction=False) as pipe:
            for write, argv in zip(writes, argvs, strict=True):
                if not isinstance(argv, Refused):
                    self._write(keys=self._touched(view, write), args=argv, client=pipe)
            answers = iter(self._answers(pipe))
        return [argv if isinstance(argv, Refused) else _outcome(next(answers)) for argv in argvs]

    def _leased(self, name: str) -> list[bytes]:
        """An entry, and the lease for making it."""
        prefix = self._settings.key_prefix
        return [f"{prefix}{name}".encode(), f"{prefix}{LEASES}:{name}".encode()]

    def _touched(self, view: View, write: Write) -> list[bytes]:
        """The entry first."""
        stale = () if isinstance(write, Restamp) else sorted(write.invalidates)
        names = (f"{view.name}:{write.key}", *stale)
        return [touched for name in names for touched in self._leased(name)]

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
        """Gather all keys in a temporary file first: the server gives them in no order, some twice."""
        start = len(self._name(view, ""))
        with Spill() as spill:
            for names, heads in self._pages(view):
                spill.put((name[start:], head) for name, head in zip(names, heads, strict=True) if head)
            for key, head in spill.behind(None if after is None else after.encode()):
                yield self._text(view, key), stamp_of(head)

    def _pages(self, view: View) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Pages of (names, heads), all over one connection.

        A cursor is a position in one process' hash table. Over a pool, a server that restarts between two
        pages would be given the cursor of its predecessor, and leave out keys without a word; here the broken
        connection ends the scan.
        """
        pattern = _escape(self._name(view, "")) + b"*"
        cursor = None
        pool = self._client.connection_pool
        with self._calling(), Redis(connection_pool=pool, single_connection_client=True) as connection:
            while cursor != 0:
                cursor, names = connection.scan(cursor or 0, match=pattern, count=PAGE)
                yield names, self._heads(connection, names)

    def _text(self, view: View, key: bytes) -> str:
        try:
            return key.decode()
        except UnicodeDecodeError:
            raise Misconfigured(
                self.name,
                f"entry {self._name(view, '') + key!r} is not ours: its key is no UTF-8",
                hint="UNLINK that entry; names that begin like a view's are for Aegis alone to write",
            ) from None

    def count(self, view: View) -> int:
        """Entries that have not expired; asks for every one of them."""
        return sum(1 for _ in self.scan(view))

    def settle(self, view: View) -> None:
        """Nothing to wait for: writes are visible at once."""

    def ping(self) -> None:
        """PING; refused while the server loads its data."""
        with self._calling():
            self._client.ping()

    def close(self) -> None:
        """Close the connection pool."""
        self._client.close()

    def _answers(self, pipe: Pipeline, foreign: str | None = None) -> list[Any]:
        """Send `pipe`; raise the first error, of which those of code `foreign` are answers.

        Not raised by the client: its message would hold the whole command, with the row.
        """
        answers = pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, RedisError) and _code(answer) != foreign:
                raise answer
        return answers

    @property
    def _address(self) -> str:
        """Of the server, without user and password."""
        return self._settings.url.rpartition("@")[2]

    @contextmanager
    def _calling(self) -> Iterator[None]:
        try:
            yield
        except RedisError as error:
            raise self._classify(error) from error

    def _classify(self, error: RedisError) -> Unavailable | Misconfigured:
        code = _code(error)
        if isinstance(error, _DENIED):
            return Misconfigured(
                self.name, str(error), hint="check REDIS_USER, REDIS_PASSWORD and the rights"
            )
        if code in _NOT_NOW:
            return Unavailable(
                self.name, f"answered {code}: {error}", hint=_NOT_NOW[code] or "aegis stack status"
            )
        if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
            return Unavailable(
                self.name,
                f"{self._address} does not answer: {error}",
                hint="aegis stack up redis, or check REDIS_URL",
            )
        # among others, rights that a script lacks
        hint = "check REDIS_URL, the server's version and the account's rights"
        return Misconfigured(self.name, f"answered {error}", hint=hint)


def _outcome(written: int) -> Outcome:
    return Applied() if written else LostRace()


def _code(error: RedisError) -> str:
    """The code that a server's error begins with; the client keeps some in the message."""
    return error.status_code or str(error).partition(" ")[0]


def _escape(name: bytes) -> bytes:
    """`name` as a glob pattern that only itself matches."""
    return re.sub(rb"([\\*?\[\]])", rb"\\\1", name)
