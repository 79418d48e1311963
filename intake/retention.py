"""Forgets search history: questions older than so many days, and with them their answers and feedback.

In batches, oldest first, each a short transaction. What is done is done: a run that is stopped or killed is
continued by the next one, and two at once share the work, since each passes over what the other holds.

Deleting a user takes rows of feedback in another order than a batch does. Waiting for each other is a
deadlock, which PostgreSQL ends after 1 s by refusing either. LOCK_TIMEOUT is shorter, so that it is always
the batch that gives way; it is tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from functools import partial
from threading import Event
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from intake.audit import begin_entry, save_entry
from intake.errors import Busy, StoppedEarly
from intake.patience import patiently
from sql.queries import run

LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '200ms'"
ATTEMPTS: Final = 8
"""Of a batch: with random waits of up to 2 s between them it outlasts an ordinary transaction."""
BEGINNING: Final = "-infinity"


@dataclass(frozen=True, slots=True)
class Removed:
    """Rows, by table."""

    search_queries: int = 0
    search_responses: int = 0
    user_feedback: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(slots=True)
class Outcome:
    """A run; `left`: expired questions that are still there: somebody holds them, or it was stopped."""

    before: datetime
    dry_run: bool
    removed: Removed = field(default_factory=Removed)
    left: int = 0
    completed: bool = False

    def as_json(self) -> dict[str, Any]:
        """`before` in ISO 8601."""
        return {**asdict(self), "before": self.before.isoformat()}


class Retention:
    """One run over one connection; `days` are counted back once, from the database's clock.

    Raises of its methods:
        Busy: other transactions held rows for too long.
        StoppedEarly: `stop` was set.
    """

    def __init__(self, connection: sa.Connection, days: int, batch_size: int, stop: Event) -> None:
        self._connection = connection
        self._days = days
        self._batch_size = batch_size
        self._stop = stop

    def count(self) -> Outcome:
        """What a run would remove; nothing is changed."""
        with self._connection.begin():
            before = self._before()
            names = ("expired_count", "expired_responses", "expired_feedback")
            removed = Removed(*(self._count(name, before) for name in names))
        return Outcome(before, dry_run=True, removed=removed, left=removed.search_queries, completed=True)

    def run(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Outcome:
        """Remove them; `progress` gets the questions removed, and how many there were."""
        with self._connection.begin():
            outcome = Outcome(self._before(), dry_run=False)
            total = self._count("expired_count", outcome.before)
            entry = begin_entry(
                self._connection, "search_queries", "retention", *self._told(outcome, Removed())
            )
        since: str | None = BEGINNING
        while since is not None and not self._stop.is_set():
            work = partial(self._batch, entry, outcome, since)
            since = patiently(work, ATTEMPTS, lambda: self._busy(outcome))
            progress(outcome.removed.search_queries, total)
        with self._connection.begin():
            outcome.completed = since is None
            outcome.left = self._count("expired_count", outcome.before)
            save_entry(self._connection, entry, *self._told(outcome, outcome.removed))
        if not outcome.completed:
            raise StoppedEarly(
                f"stopped: {outcome.removed.search_queries} questions removed, {outcome.left} are left",
                hint=f"aegis intake retention --days {self._days}",
            )
        return outcome

    def _busy(self, outcome: Outcome) -> Busy:
        return Busy(
            f"other transactions hold rows of the search history; "
            f"{outcome.removed.search_queries} questions are removed",
            hint=f"end them, then: aegis intake retention --days {self._days}",
        )

    def _batch(self, entry: UUID, outcome: Outcome, since: str) -> str | None:
        """One transaction, of at most `batch_size` rows of each table.

        Returns:
            From which time on to go on; None: that was the last.
        """
        with self._connection.begin():
            self._connection.execute(sa.text(LOCK_TIMEOUT))
            found = run(
                self._connection,
                "expired_queries",
                before=outcome.before,
                since=since,
                limit=self._batch_size,
            ).all()
            removed, all_of_them = self._remove([row.id for row in found])
            total = outcome.removed + removed
            save_entry(self._connection, entry, *self._told(outcome, total))
        outcome.removed = total
        if not all_of_them:
            return since
        return str(found[-1].timestamp) if len(found) == self._batch_size else None

    def _remove(self, ids: list[UUID]) -> tuple[Removed, bool]:
        """Children first, so that they are counted and bounded: a cascade is neither."""
        feedback = run(self._connection, "remove_feedback", ids=ids, limit=self._batch_size).rowcount
        if feedback == self._batch_size:  # there may be more of it
            return Removed(user_feedback=feedback), False
        responses = run(self._connection, "remove_responses", ids=ids).rowcount
        return Removed(run(self._connection, "remove_queries", ids=ids).rowcount, responses, feedback), True

    def _before(self) -> datetime:
        before = run(self._connection, "expiry", days=self._days).scalar()
        assert isinstance(before, datetime)
        return before

    def _count(self, name: str, before: datetime) -> int:
        return int(run(self._connection, name, before=before).scalar_one())

    def _told(self, outcome: Outcome, removed: Removed) -> tuple[dict[str, Any], dict[str, Any]]:
        facts = {"days": self._days, "before": outcome.before.isoformat(), "completed": outcome.completed}
        return {"removed": asdict(removed)}, facts
