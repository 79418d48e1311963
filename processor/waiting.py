"""How the processor waits: without losing its place in the consumer group, and no longer than it may run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from threading import Event
from typing import Any, Final, Protocol, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from processor.consumer import ChangeConsumer

log = logging.getLogger(__name__)
MAX_WAIT_SECONDS: Final = 10
BEAT_SECONDS: Final = 0.5
"""Between two polls while calls run. Each may bring a record, which is kept."""
KEPT_BYTES: Final = 32 * 1024 * 1024
T = TypeVar("T")


class Stopped(Exception):
    """The processor was told to stop while it waited; the batch at hand is read again at the next start."""


class Waiting(Protocol):
    """What those who wait need."""

    def hold(self, seconds: float) -> None:
        """Wait between two tries; may raise to abandon the batch."""
        ...

    def stay(self, calls: Collection[Future[Any]]) -> None:
        """Wait until all `calls` are done; may raise to abandon the batch."""
        ...


class GroupWaiting:
    """Waits by polling the consumer, its partitions paused."""

    def __init__(self, consumer: ChangeConsumer, stop: Event) -> None:
        self._consumer = consumer
        self._stop = stop

    def hold(self, seconds: float) -> None:
        """Wait between two tries.

        Raises:
            Stopped, AssignmentLost: the batch is abandoned.
        """
        self._consumer.hold(seconds, enough=self._stop.is_set)
        if self._stop.is_set():
            raise Stopped

    def stay(self, calls: Collection[Future[Any]]) -> None:
        """Wait for running calls; the batch at hand is finished also when the processor is to stop.

        Raises:
            AssignmentLost: the batch is abandoned.
        """
        while wait(calls, BEAT_SECONDS).not_done:
            self._consumer.beat(KEPT_BYTES)


def patiently(
    action: Callable[[], T],
    passing: type[Exception] | tuple[type[Exception], ...],
    hold: Callable[[float], object],
) -> T:
    """Do `action` again, with growing waits by `hold`, while it raises `passing`."""
    again = Retrying(
        retry=retry_if_exception_type(passing),
        wait=wait_random_exponential(0.2, max=MAX_WAIT_SECONDS),
        sleep=hold,  # type: ignore[arg-type]
        before_sleep=_tell,
        reraise=True,
    )
    return again(action)


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0
    log.warning("waiting %.1f s (try %d): %s", wait, state.attempt_number, error)
