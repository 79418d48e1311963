"""A table with a joined view, and processes that apply batches to it by the processor's own loop."""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

import sqlalchemy as sa

from processor.app import Processor
from processor.change import Change, Op
from processor.letters import Letter
from processor.pipeline import plan_batch
from processor.refresh import Refresh, Replay, refresh_topic
from processor.refresher import Refresher
from processor.rows import Row
from processor.saga import Saga
from processor.snapshot import Snapshot
from processor.source import Reading
from processor.stores.base import Remove
from processor.tables.base import Projection
from sql.models import Policy
from sql.models.base import CAPTURED_BY_KEY
from tests.refusing import Countdown
from tests.unit.samples import TOPIC, change, message, row
from tests.unit.test_saga import BEFORE, World, chain, everywhere
from tests.unit.test_saga_again import WITH_LABELS

CREATE = change("k", op=Op.CREATE, commit=200, title="new")
(UPDATE,) = chain("new")
BAD, WORSE = chain("bad", "worse")
DELETE = dataclasses.replace(UPDATE, op=Op.DELETE, after=None)
COMMAND = Refresh(
    dataclasses.replace(message(b"", "k"), topic=refresh_topic(TOPIC), offset=9),
    "k",
    {"policy_id": "k"},
    {(TOPIC, 0): 0},
    replay=Replay("dlq.t/0/7", 2, 1_600_000_000_000),
)


def without_before() -> Projection:
    """Identity DEFAULT: changes do not say what the row was."""
    table = Policy.__table__.to_metadata(sa.MetaData())  # type: ignore[attr-defined]
    table.info = {**CAPTURED_BY_KEY}
    return dataclasses.replace(WITH_LABELS, model=table)


class Joining(World):
    """A world whose batches end with what they ask to be read again, by the processor's own loop."""

    def __init__(self, projection: Projection = WITH_LABELS) -> None:
        super().__init__(projection)
        self.start()

    def start(self, steps: int = 1_000_000) -> None:
        """A new process: what the one before had left open is forgotten."""
        self.countdown = Countdown(steps)
        fanout = self.fanout(self.countdown)
        self.saga = Saga(fanout, epoch=3)
        refresher = Refresher(fanout, mock.Mock(read=self._read), epoch=3)
        parts: Any = mock.Mock(saga=self.saga, refresher=refresher)
        self.processor = Processor(mock.Mock(epoch=3), lambda stop: parts)

    def _read(self, projection: Projection, keys: object) -> Reading:
        found: dict[str, Row] = {}
        if self.now is not None:
            found["k"] = {**row("k", title=self.now), "labels": ["x"]}
        return Reading(found, {}, Snapshot(1_000, 1_000, frozenset(), 1_000), 5_000, self.unread)

    def batch(self, *items: Change | Refresh, now: str | None, steps: int | None = None) -> list[Letter]:
        """`now` is the row's title when it is read again; None: it is gone. `steps`: of a new process."""
        if steps is not None:
            self.start(steps)
        self.now = now
        self.processor._backlog._due = 0.0
        plan = plan_batch(items, self.routes, epoch=3)
        settled = self.saga.apply(plan.tables)
        return settled.letters + self.processor._refresh(plan, settled).letters

    def waiting(self, *items: Change, now: str) -> list[Letter]:
        """A batch whose rows cannot be read at once."""
        self.unread = frozenset({"k"})
        letters = self.batch(*items, now=now)
        self.unread = frozenset()
        return letters

    def shows(self, title: str | None) -> bool:
        return self.titles() == everywhere(title) | {"joined": title}


def begin(projection: Projection = WITH_LABELS, **refuses: Any) -> Joining:
    world = Joining(projection)
    world.batch(BEFORE, now="old")
    world.refuse(**refuses)
    return world


def removes(view: object, write: object) -> bool:
    return isinstance(write, Remove)


def places(letters: list[Letter]) -> list[int]:
    """Offsets of the records that failed."""
    return [letter.message.offset for letter in letters]
