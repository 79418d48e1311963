"""The processor: poll, drain, decode, collapse, project, apply, refresh, dead letters, store offsets."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Event

from processor import metrics
from processor.backlog import AGAIN_SECONDS, Backlog
from processor.breaker import Breaker
from processor.change import Message
from processor.consumer import AssignmentLost, ChangeConsumer
from processor.decode import Decoder
from processor.delivery import Delivery
from processor.errors import SourceError
from processor.fanout import Fanout
from processor.letters import Letter, LetterBox, rows_at_fault
from processor.offsets import GroupOffsets
from processor.pipeline import Plan, plan_batch
from processor.refresh import PREFIX, Refresh, Request, first_of, merge
from processor.refresher import Refreshed, Refresher
from processor.registry import SchemaRegistry
from processor.routes import Route
from processor.saga import Saga, Settled
from processor.settings import ProcessorSettings
from processor.source import RowReader
from processor.sweeper import Sweeper
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
    saga: Saga
    reader: RowReader
    refresher: Refresher
    sweeper: Sweeper
    delivery: Delivery
    letters: LetterBox
    breaker: Breaker
    routes: Mapping[str, Route]


@dataclass(frozen=True)
class _Batch:
    """What was read in one generation of the group; `plan` None: still to be made."""

    generation: int
    messages: Sequence[Message] = ()
    plan: Plan | None = None


class Processor:
    """One consumer application for all tables. `stop` may be called from a signal handler."""

    def __init__(self, settings: ProcessorSettings, build: Callable[[Event], Parts]) -> None:
        """`build` makes the parts, given the event that ends all waiting."""
        self._settings = settings
        self._stop = Event()
        self._backlog = Backlog()
        self._generation = 0
        self._ahead: _Batch | None = None
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
            batch = _Batch(0)
            try:
                batch = self._next_batch()
                self._handle(batch)
            except AssignmentLost:
                log.info("batch of %d abandoned: its partitions were reassigned", len(batch.messages))
            except Stopped:
                log.info("batch of %d abandoned: stopping", len(batch.messages))
            if goal is not None and goal.reached(idle=not batch.messages):
                return True
        return False

    def close(self) -> None:
        """Commit, leave the group, release all connections."""
        self._parts.consumer.close()
        self._parts.group.close()
        self._parts.schemas.close()
        self._parts.fanout.close()
        self._parts.reader.close()

    def _next_batch(self) -> _Batch:
        """What was read ahead, or has arrived; nothing while too much of earlier batches is open."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.generation == self._parts.consumer.generation:
            return ahead
        if self._backlog.is_full:
            self._parts.waiting.hold(AGAIN_SECONDS)
            return _Batch(self._parts.consumer.generation)
        messages = self._parts.consumer.drain(self._settings.batch_size, self._settings.batch_bytes)
        return _Batch(self._parts.consumer.generation, messages)

    def _look_ahead(self, size: int) -> None:
        """Read and plan the next batch while the stores take one of `size` messages, if there are more.

        Pure but for the reading: a plan depends on nothing that the batch at hand does.

        Raises:
            AssignmentLost: partitions were taken away meanwhile.
        """
        consumer = self._parts.consumer
        if size < self._settings.batch_size // 2 or self._backlog.is_full:
            return
        generation = consumer.generation
        messages = consumer.drain(self._settings.batch_size, self._settings.batch_bytes, seconds=0)
        if consumer.generation != generation:
            raise AssignmentLost
        if messages:
            self._ahead = _Batch(generation, messages)
            with contextlib.suppress(SourceError):  # the registry is waited for when it is its turn
                self._ahead = replace(self._ahead, plan=self._plan(messages))

    def _handle(self, batch: _Batch) -> None:
        """One batch, then the next part of what earlier ones have left open."""
        parts = self._parts
        self._forget_what_was_taken_away()
        plan = batch.plan or patiently(partial(self._plan, batch.messages), SourceError, parts.waiting.hold)
        parts.breaker.check(plan.records, plan.failing)
        self._send(plan.requests)
        settled = parts.saga.apply(plan.tables, partial(self._look_ahead, len(batch.messages)))
        refreshed = self._refresh(plan, settled)
        letters = plan.letters + settled.letters + refreshed.letters
        self._sweep(plan)
        attempted = plan.attempted + refreshed.settled
        self._check(attempted, letters)
        parts.letters.post(letters)
        metrics.batch_done(plan.tables, letters)
        parts.consumer.done(batch.messages, first_of((self._backlog.since(), parts.sweeper.since())))
        parts.breaker.passed(attempted, rows_at_fault(letters))
        if batch.messages:
            log.debug("batch of %d done", len(batch.messages))

    def _forget_what_was_taken_away(self) -> None:
        """Open work belongs to the partitions it came from: whoever has them now reads it again."""
        generation = self._parts.consumer.generation
        if generation != self._generation:
            self._generation = generation
            self._backlog.clear()
            self._parts.refresher.forget()
            self._parts.sweeper.clear()

    def _refresh(self, plan: Plan, settled: Settled) -> Refreshed:
        """After the batch's changes: rows that it asks for, then some of those left open before."""
        result = Refreshed()
        for table in plan.tables:
            projection = table.projection
            joined = settled.joined[projection.full_name]
            # what waits to be joined, and what changed since: all of it is joined, or none
            waiting = self._backlog.withdraw(projection, [refresh.key for refresh in joined])
            self._try(projection, merge([*waiting, *joined, *table.refreshes.values()]), result)
        taken = still_open = 0
        for projection, refreshes in self._backlog.take():
            taken += len(refreshes)
            still_open += self._try(projection, refreshes, result)
        self._backlog.tried(taken, still_open)
        return result

    def _try(self, projection: Projection, refreshes: Mapping[str, Refresh], result: Refreshed) -> int:
        """How many of them stay open."""
        done = self._parts.refresher.refresh(projection, refreshes)
        self._backlog.put(projection, done.open)
        result.letters += done.letters + self._parts.saga.take_back(projection, done.denied)
        result.settled += done.settled
        return len(done.open)

    def _sweep(self, plan: Plan) -> None:
        """Begin what the batch asks for, and go on with the next page."""
        sweeper = self._parts.sweeper
        for table in plan.tables:
            for sweep in table.sweeps:
                sweeper.add(self._parts.routes[sweep.topic], sweep)
        self._send(sweeper.step())

    def _send(self, requests: Sequence[Request]) -> None:
        """Commands are acknowledged before the offset of what caused them is stored."""
        patiently(lambda: self._parts.delivery.send(requests), SourceError, self._parts.waiting.hold)

    def _check(self, records: int, letters: Sequence[Letter]) -> None:
        """Before letters are written, the breaker judges; when it stops us, the reasons are in the log."""
        try:
            self._parts.breaker.check(records, rows_at_fault(letters))
        finally:
            for letter in letters:
                log.error("dead letter [%s] %s: %s", letter.code, letter.message, letter.reason)

    def _plan(self, messages: Sequence[Message]) -> Plan:
        """Decode, collapse, project.

        Raises:
            SourceError: the schema registry does not answer.
        """
        decoded = [self._parts.decoder.decode(message) for message in messages]
        return plan_batch(decoded, self._parts.routes, self._settings.epoch)


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
        return left == 0 and not self._caused_more()

    def _caused_more(self) -> bool:
        """Changes cause refresh commands: those are to be done as well."""
        parts = self._parts
        ends = parts.group.ends()
        commands = {place: end for place, end in ends.items() if place[0].startswith(PREFIX)}
        more = any(end > self._ends.get(place, 0) for place, end in commands.items())
        self._ends |= commands
        self._total = max(self._total, parts.group.lag(self._ends))
        return more
