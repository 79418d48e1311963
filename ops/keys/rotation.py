"""Seals every value anew that does not stand under the current key: in batches, each a short transaction.

What is done is done: a run that is stopped or killed is continued by the next one, and two at once share the
work. Services read and write meanwhile, as both keys are configured:

1. The batch locks its rows (FOR NO KEY UPDATE), passing over those that somebody holds: it never waits for
   another transaction's rows, so no deadlock can come of it, and references to a user are not held up.
2. What it opens and seals is what it has locked: a writer comes before, and is read, or after, and stays.
3. A writer that came under the old key behind the batch is found by the count at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from intake.audit import begin_entry, save_entry
from intake.errors import StoppedEarly
from ops.keys.scan import FIELDS, KEY, TABLE, Progress, Unreadable, page_after, values_of
from sql.sealed import SealedError, Sealer


@dataclass(slots=True)
class Outcome:
    """A run, in values; `left`: they can be opened, but somebody held them, or it was stopped."""

    current: str
    resealed: int = 0
    left: int = 0
    unreadable: Unreadable = field(default_factory=Unreadable)
    completed: bool = False

    @property
    def done(self) -> bool:
        """Whether everything stands under the current key."""
        return self.completed and not self.left and not self.unreadable.count

    def as_json(self) -> dict[str, Any]:
        """`unreadable` names at most scan.MAX_NAMED of them."""
        return {
            "current": self.current,
            "resealed": self.resealed,
            "left": self.left,
            "unreadable_values": self.unreadable.count,
            "unreadable": self.unreadable.named,
            "completed": self.completed,
        }


class Rotation:
    """One run over one connection."""

    def __init__(self, connection: sa.Connection, sealer: Sealer, batch_size: int, stop: Event) -> None:
        self._connection = connection
        self._sealer = sealer
        self._batch_size = batch_size
        self._stop = stop
        # a header tells its own length: no value under another key begins with it
        header = sealer.header
        self._outdated = [sa.func.substr(column, 1, len(header)) != header for column in FIELDS]

    def run(self, progress: Progress = lambda _done, _total: None) -> Outcome:
        """Seal them; `progress` gets the rows done, and how many there were.

        Raises:
            StoppedEarly: `stop` was set.
        """
        outcome = Outcome(self._sealer.current)
        with self._connection.begin():
            rows_of = sa.select(sa.func.count()).select_from(TABLE).where(sa.or_(*self._outdated))
            total = self._connection.scalar(rows_of) or 0
            entry = begin_entry(self._connection, TABLE.name, "key_rotation", *_told(outcome, 0))
        last, rows, more = None, 0, True
        while more and not self._stop.is_set():
            last, found = self._batch(entry, outcome, last)
            rows, more = rows + found, found == self._batch_size
            progress(rows, total)
        with self._connection.begin():
            outcome.completed = not more
            outcome.left = self._left(outcome)
            save_entry(self._connection, entry, *_told(outcome, outcome.resealed))
        if more:
            raise StoppedEarly(
                f"stopped: {outcome.resealed} values sealed anew, {outcome.left} are left",
                hint="aegis keys rotate",
            )
        return outcome

    def _batch(self, entry: UUID, outcome: Outcome, last: Any) -> tuple[Any, int]:
        """One transaction; returns the last key that it has seen, and how many rows it had."""
        query = page_after(last, self._batch_size).where(sa.or_(*self._outdated))
        with self._connection.begin():
            locked = query.with_for_update(key_share=True, skip_locked=True)
            page = self._connection.execute(locked).mappings().all()
            resealed = outcome.resealed + self._reseal(page, outcome.unreadable)
            save_entry(self._connection, entry, *_told(outcome, resealed))
        outcome.resealed = resealed
        return (page[-1][KEY.name] if page else last), len(page)

    def _reseal(self, page: Sequence[sa.RowMapping], unreadable: Unreadable) -> int:
        """Write what can be opened under the current key; returns how many values."""
        rows: list[dict[str, Any]] = []
        count = 0
        for row in page:
            sealed = {column.name: row[column.name] for column in FIELDS}
            for place, value in values_of(row):
                if value.startswith(self._sealer.header):
                    continue
                try:
                    sealed[place.column] = self._sealer.reseal(place, value)
                    count += 1
                except SealedError as error:
                    unreadable.add(error)
            if any(sealed[name] is not row[name] for name in sealed):
                rows.append({"key_": row[KEY.name], **sealed})
        if rows:
            values: dict[str, Any] = {column.name: sa.bindparam(column.name) for column in FIELDS}
            update = sa.update(TABLE).where(sa.bindparam("key_") == KEY).values(values)
            self._connection.execute(update, rows)
        return count

    def _left(self, outcome: Outcome) -> int:
        counts = [sa.func.count().filter(outdated) for outdated in self._outdated]
        total = sum(self._connection.execute(sa.select(*counts).select_from(TABLE)).one())
        return max(0, total - outcome.unreadable.count)


def _told(outcome: Outcome, resealed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    changes = {"resealed": resealed, "unreadable": outcome.unreadable.count}
    return changes, {"key": outcome.current, "completed": outcome.completed}
