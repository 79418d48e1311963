"""Which failures of a transaction are worth another attempt."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from psycopg.errors import AdminShutdown, DeadlockDetected, LockNotAvailable, OperationalError

from intake.errors import Busy
from intake.patience import patiently


def failure(kind: type[OperationalError]) -> sa.exc.OperationalError:
    return sa.exc.OperationalError("SELECT", {}, kind())


@pytest.mark.parametrize("kind", [DeadlockDetected, LockNotAvailable])
def test_a_deadlock_and_a_lock_are_tried_again_until_there_are_no_attempts_left(
    kind: type[OperationalError],
) -> None:
    left = [failure(kind), failure(kind)]

    def work() -> str:
        if left:
            raise left.pop()
        return "done"

    with pytest.raises(Busy, match="held"):
        patiently(work, 1, lambda: Busy("held"))
    assert len(left) == 1
    assert patiently(work, 2, lambda: Busy("held")) == "done"


def test_another_failure_is_not_tried_again() -> None:
    done = []

    def work() -> None:
        done.append(1)
        raise failure(AdminShutdown)

    with pytest.raises(sa.exc.OperationalError, match="AdminShutdown"):
        patiently(work, 3, lambda: Busy("held"))
    assert done == [1]
