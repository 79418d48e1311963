"""Transactions on a Neo4j server, each within a deadline, and what its errors mean to us.

The asynchronous driver on a thread of its own, because only its calls can be given up: the synchronous one
waits for a frozen server as long as that server once said (120 s by default).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, Final, TypeVar

from neo4j import (
    WRITE_ACCESS,
    AsyncDriver,
    AsyncGraphDatabase,
    AsyncManagedTransaction,
    NotificationClassification,
    NotificationDisabledClassification,
    NotificationMinimumSeverity,
    TrustCustomCAs,
    unit_of_work,
)
from neo4j.exceptions import (
    ConfigurationError,
    DriverError,
    Neo4jError,
)

from processor.errors import Misconfigured, Rejected, StoreError, Unavailable
from processor.settings import Neo4jSettings

NAME: Final = "neo4j"
RETRY_DELAY: Final = 0.05
"""Seconds before a transaction that lost a deadlock is tried again; doubles each time."""
RETRY_SHARE: Final = 0.2
"""Of the call's time that goes into trying again; after it the processor waits and retries."""
_HINTS_ONLY: Final = [
    kind for kind in NotificationDisabledClassification if kind != NotificationDisabledClassification.HINT
]
_OF_PARAMETERS: Final = frozenset(
    {
        "Neo.ClientError.Schema.ConstraintValidationFailed",
        "Neo.ClientError.Statement.ArgumentError",
        "Neo.ClientError.Statement.TypeError",
    }
)
_HINTS: Final = {
    ".Security.": "check NEO4J_USER and NEO4J_PASSWORD",
    ".DatabaseNotFound": "check NEO4J_DATABASE",
    ".Schema.": "drop what stands in the way (SHOW INDEXES, SHOW CONSTRAINTS), then restart the processor",
    ".ClientError.Statement.": "Neo4j 5.7 or newer is needed",
}
_RESTART: Final = "free space on the server's disk, then restart the server"
T = TypeVar("T")
Step = tuple[str, Mapping[str, Any]]
"""A statement and its parameters."""

logging.getLogger("neo4j").addHandler(logging.NullHandler())  # without any, Python prints to stderr


class Conflict(Unavailable):
    """Another transaction was in the way, and nothing was written: read and decide again."""


class Indigestible(Rejected):
    """One of the parameters makes the statement fail, and nothing was written."""


class TooLarge(Unavailable):
    """The transaction takes more memory than the server has now: half of it may pass."""


class OverLimit(TooLarge):
    """The transaction takes more memory than the server allows to any one, however idle it is."""


class Bolt:
    """Connections to one database; safe to share between threads. Connects at the first call."""

    def __init__(self, settings: Neo4jSettings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._driver: AsyncDriver | None = None
        self._thread: Thread | None = None

    def run(self, *steps: Step) -> list[Any]:
        """Run statements in one transaction and return the one value of each.

        It runs on the leader, so it sees all that was committed before.

        Raises:
            StoreError: what `meaning` makes of it.
        """
        loop, driver = self._open()
        try:
            return self._await(loop, self._transaction(driver, steps))
        except (DriverError, Neo4jError, OSError) as error:
            raise meaning(error, self._settings) from error

    def _await(self, loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
        limited = asyncio.wait_for(work, self._settings.timeout_seconds)
        return asyncio.run_coroutine_threadsafe(limited, loop).result()

    async def _transaction(self, driver: AsyncDriver, steps: Sequence[Step]) -> list[Any]:
        # the server's own limit frees the locks of a process that was stopped in between
        @unit_of_work(timeout=self._settings.timeout_seconds)
        async def work(transaction: AsyncManagedTransaction) -> list[Any]:
            try:
                return [await _run(transaction, *step) for step in steps]
            except Neo4jError as error:
                # the driver would try the same again for seconds; smaller transactions are tried instead
                if "OutOfMemory" in str(error.code):
                    raise meaning(error, self._settings) from error
                raise

        async with driver.session(
            database=self._settings.database, default_access_mode=WRITE_ACCESS
        ) as session:
            return await session.execute_write(work)

    def _open(self) -> tuple[asyncio.AbstractEventLoop, AsyncDriver]:
        with self._lock:
            if self._loop is None or self._driver is None:
                self._driver = make_driver(self._settings)
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._loop.run_forever, name=NAME, daemon=True)
                self._thread.start()
            return self._loop, self._driver

    def close(self) -> None:
        """Release connections and the thread; a later call opens them again."""
        with self._lock:
            if self._loop is None or self._driver is None or self._thread is None:
                return
            with suppress(TimeoutError):
                self._await(self._loop, self._driver.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._loop = self._driver = self._thread = None


def make_driver(settings: Neo4jSettings) -> AsyncDriver:
    """The driver; connects at its first use."""
    encryption: dict[str, Any] = {}
    if settings.ca_file:
        encryption = {"encrypted": True, "trusted_certificates": TrustCustomCAs(str(settings.ca_file))}
    return AsyncGraphDatabase.driver(
        settings.uri,
        auth=(settings.user, settings.password.get_secret_value()),
        connection_timeout=settings.timeout_seconds,
        connection_acquisition_timeout=settings.timeout_seconds,
        max_transaction_retry_time=settings.timeout_seconds * RETRY_SHARE,
        initial_retry_delay=RETRY_DELAY,
        retry_delay_jitter_factor=0.5,
        notifications_min_severity=NotificationMinimumSeverity.WARNING,
        notifications_disabled_classifications=_HINTS_ONLY,
        warn_notification_severity=NotificationMinimumSeverity.OFF,
        telemetry_disabled=True,
        **encryption,
    )


async def _run(transaction: AsyncManagedTransaction, statement: str, parameters: Mapping[str, Any]) -> Any:
    result = await transaction.run(statement, dict(parameters))
    record = await result.single()
    summary = await result.consume()
    for status in summary.gql_status_objects:
        if status.classification == NotificationClassification.HINT:
            raise Misconfigured(
                NAME,
                f"a constraint is missing: {status.status_description}",
                hint="restart the processor: it creates what is missing",
            )
    return record and record[0]


def meaning(error: Exception, settings: Neo4jSettings) -> StoreError:
    """What an error of the driver or the server means to us."""
    if isinstance(error, ConfigurationError):
        return Misconfigured(NAME, f"{settings.uri}: {error}", hint="check NEO4J_URI and NEO4J_CA_FILE")
    if not isinstance(error, Neo4jError):
        return Unavailable(
            NAME,
            f"{settings.uri} does not answer: {str(error) or 'timeout'}",
            hint="aegis stack up neo4j, or check NEO4J_URI",
        )
    code, message = str(error.code), str(error.message)
    answer = f"answered {code}: {message}"
    if code == "Neo.ClientError.Statement.EntityNotFound":
        return Conflict(NAME, answer)
    if code in _OF_PARAMETERS or "too large to index" in message:
        return Indigestible(NAME, message)
    if "OutOfMemory" in code:
        return _too_large(answer)
    hint = next((hint for part, hint in _HINTS.items() if part in code), None)
    # left are transient errors that outlived their retries, time-outs, a full disk
    broken = "needs to be restarted" in message
    return (
        Misconfigured(NAME, answer, hint=hint)
        if hint
        else Unavailable(NAME, answer, hint=_RESTART if broken else None)
    )


def _too_large(answer: str) -> TooLarge:
    if "db.memory.transaction.max" in answer:
        return OverLimit(NAME, answer, hint="raise the server's db.memory.transaction.max")
    return TooLarge(NAME, answer, hint="raise the server's dbms.memory.transaction.total.max")
