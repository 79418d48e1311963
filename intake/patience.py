"""Transactions that others are in the way of are tried again, a few times."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from psycopg.errors import DeadlockDetected, LockNotAvailable
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from intake.errors import Busy

T = TypeVar("T")


def patiently(work: Callable[[], T], attempts: int, busy: Callable[[], Busy]) -> T:
    """Do `work`, a whole transaction; again when it waited too long for a lock, or was chosen in a deadlock.

    Raises:
        Busy: the one that `busy` makes, when the last attempt met the same; others pass.
    """
    again = Retrying(
        retry=retry_if_exception(_held),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.1, max=2),
        reraise=True,
    )
    try:
        return again(work)
    except sa.exc.OperationalError as error:
        if not _held(error):
            raise
        raise busy() from error


def _held(error: BaseException) -> bool:
    return isinstance(error, sa.exc.OperationalError) and isinstance(
        error.orig, LockNotAvailable | DeadlockDetected
    )
