"""The processor: poll, drain, decode, collapse, project, apply, dead letters, store offsets."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from processor.breaker import Breaker
from processor.change import Change, Message, Poison
from processor.consumer import AssignmentLost, ChangeConsumer
from processor.decode import Decoder
from processor.errors import SourceError
from processor.fanout import Fanout
from processor.letters import Letter, LetterBox
from processor.offsets import GroupOffsets
from processor.pipeline import plan_batch
from processor.registry import SchemaRegistry
from processor.settings import ProcessorSettings
from processor.tables.base import Projection
from processor.waiting import Stopped, Waiting, patiently

log = logging.getLogger(__name__)
Progress = Callable[[int, int], None]
"""Called with (records done, records to do) while catching up."""


@dataclass(frozen=True)
class Parts:
    """What the loop is made of."""

    consumer: ChangeConsumer
    waiting: Waiting
    group: GroupOffsets
    schemas: SchemaRegistry
    decoder: Decoder
    fanout: Fanout
    letters: LetterBox
    breaker: Breaker
    projections: Mapping[str, Projection]


class Processor:
    """One consumer application for all tables. `stop` may be called from a signal handler."""

    def __init__(self, settings: ProcessorSettings, build: Callable[[Event], Parts]) -> None:
        """`build` makes the parts, given the event that ends all waiting."""
        self._settings = settings
        self._stop = Event()
        self._parts = build(self._stop)

    def stop(self) -> None:
        """Finish the batch at hand, then return from `run`."""
        self._stop.set()

    def run(self, until_caught_up: bool = False, progress: Progress | None = None) -> bool:
        """Process until stopped, or until all that was there at the start is committed.

        Returns:
            Whether it ended because it has caught up.
        """
        parts = self._parts
        goal = _Goal(parts, progress) if until_caught_up else None
        while not self._stop.is_set():
            batch = parts.consumer.drain(self._settings.batch_size, self._settings.batch_bytes)
            try:
                self._handle(batch)
            except AssignmentLost:
                log.info("batch of %d abandoned: its partitions were reassigned", len(batch))
            except Stopped:
                log.info("batch of %d abandoned: stopping", len(batch))
            if goal is not None and goal.reached(idle=not batch):
                return True
        return False

    def close(self) -> None:
        """Commit, leave the group, release all connections."""
        self._parts.consumer.close()
        self._parts.group.close()
        self._parts.schemas.close()
        self._parts.fanout.close()

    def _handle(self, batch: Sequence[Message]) -> None:
        if not batch:
            return
        parts = self._parts
        plan = plan_batch(self._decode(batch), parts.projections, self._settings.epoch)
        parts.breaker.check(plan.attempted, len(plan.letters))
        letters = plan.letters + parts.fanout.apply(plan.tables)
        self._check(plan.attempted, letters)
        parts.letters.post(letters)
        parts.consumer.done(batch)
        parts.breaker.passed(plan.attempted, len(letters))
        log.debug("batch of %d done", len(batch))

    def _check(self, records: int, letters: Sequence[Letter]) -> None:
        """Before letters are written, the breaker judges; when it stops us, the reasons are in the log."""
        try:
            self._parts.breaker.check(records, len(letters))
        finally:
            for letter in letters:
                log.error("dead letter [%s] %s: %s", letter.code, letter.message, letter.reason)

    def _decode(self, batch: Sequence[Message]) -> list[Change | Poison | None]:
        """Decode a batch; a registry that does not answer is waited for."""
        return patiently(
            lambda: [self._parts.decoder.decode(message) for message in batch],
            SourceError,
            self._parts.waiting.hold,
        )


class _Goal:
    """The end offsets at the start, and how far the group's committed offsets are from them."""

    def __init__(self, parts: Parts, progress: Progress | None) -> None:
        self._parts = parts
        self._progress = progress
        self._ends = parts.group.ends()
        self._total = parts.group.lag(self._ends)

    def reached(self, idle: bool) -> bool:
        """Ask the broker only when it may be so, or when someone watches the progress."""
        if not idle and self._progress is None:
            return False
        self._parts.consumer.commit()
        left = self._parts.group.lag(self._ends)
        if self._progress is not None:
            self._progress(self._total - left, self._total)
        return left == 0
