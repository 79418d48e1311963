"""The Kafka consumer as the processor needs it: batches, assignment without guessing, offsets stored late."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, TypeVar, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as KafkaMessage
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from processor import metrics
from processor.change import Message
from processor.errors import AegisError, SourceError
from processor.lease import Lease
from processor.offsets import Offsets
from processor.positions import Positions
from processor.progress import Progress
from processor.settings import KafkaSettings

log = logging.getLogger(__name__)
POLL_SECONDS: Final = 0.1
HOLD_POLL_SECONDS: Final = 0.02
CHUNK: Final = 100
CALL_SECONDS: Final = 10
ASK_SECONDS: Final = 30
T = TypeVar("T")
_RESNAPSHOT = "aegis connector delete --offsets --slot --topics, then aegis connector apply: a new snapshot"
_PASSING = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT)


class AssignmentLost(Exception):
    """The group took partitions away: whoever has them now does the batch again."""


class ChangeConsumer:
    """Owned by one thread. Offsets are stored by `done` and committed in the background twice a second."""

    def __init__(self, settings: KafkaSettings, topics: Sequence[str], lease: Lease | None = None) -> None:
        """`lease` is renewed whenever the consumer is polled."""
        self._topics = list(topics)
        self._lease = lease or Lease(settings.session_timeout_ms / 1000)
        self._session_seconds = settings.session_timeout_ms / 1000
        self._polled = time.monotonic()
        self._generation = 0
        self._fatal: AegisError | None = None
        self._early: list[Message] = []
        self._progress = Progress()
        self._positions = Positions()
        self._consumer = Consumer(
            {
                **settings.client(),
                "group.id": settings.group_id,
                "group.protocol": "classic",
                # range puts partition n of a table, its refresh and its dead-letter topic on one process
                "partition.assignment.strategy": "range",
                "enable.auto.offset.store": False,
                "enable.auto.commit": True,
                "auto.commit.interval.ms": 500,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "session.timeout.ms": settings.session_timeout_ms,
                "max.poll.interval.ms": settings.max_poll_interval_ms,
                "fetch.message.max.bytes": settings.max_message_bytes,
            }
        )
        self._consumer.subscribe(
            self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    @property
    def generation(self) -> int:
        """Changes whenever partitions come or go."""
        return self._generation

    def drain(self, max_records: int, max_bytes: int, seconds: float = POLL_SECONDS) -> list[Message]:
        """What has arrived, up to the limits; waits up to `seconds` for the first record.

        `consume(n, timeout)` would wait for n records or the whole timeout: the first is polled for, the
        rest taken without waiting. An idle stream is served at once, a backlog in full batches.

        Raises:
            SourceError: the log has a gap, or a topic is missing.
        """
        self._poll(seconds)
        size = sum(message.size for message in self._early)
        while self._early and len(self._early) < max_records and size < max_bytes:
            generation = self._generation
            records = self._consumer.consume(min(CHUNK, max_records - len(self._early)), timeout=0)
            self._raise_fatal()
            if not records or self._generation != generation:  # then they are of partitions that were ours
                break
            more = self._accept(records)
            size += sum(message.size for message in more)
            self._early += more
        batch, self._early = self._early, []
        return batch

    def beat(self, max_bytes: int) -> None:
        """Poll once in the midst of a batch, to stay in the group; what arrives is kept for the next one.

        With partitions paused, as `hold` does it, the client would drop the records that it has fetched, and
        the next batch would wait for them up to 0.7 s. So only above `max_bytes` of kept records.

        Raises:
            AssignmentLost: partitions were taken away meanwhile.
        """
        if sum(message.size for message in self._early) >= max_bytes:
            self.hold(HOLD_POLL_SECONDS)
            return
        generation = self._generation
        self._poll(0)
        if self._generation != generation:
            raise AssignmentLost

    def hold(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Wait, at most until `enough()`, staying in the group: partitions are paused, polling goes on.

        Raises:
            AssignmentLost: partitions were taken away meanwhile.
        """
        generation = self._generation
        partitions = self._consumer.assignment()
        self._consumer.pause(partitions)
        until = time.monotonic() + seconds
        while time.monotonic() < until and not enough() and self._generation == generation:
            self._poll(HOLD_POLL_SECONDS)
        if self._generation != generation:
            raise AssignmentLost
        self._positions.doubt()
        self._consumer.resume(partitions)

    def done(self, messages: Iterable[Message], still_open: Offsets | None = None) -> None:
        """All stores have accepted these, or their letters are written: a restart may go on after them.

        But not after `still_open`, the first offset of each place that is not done yet.
        """
        self._progress.done(messages)
        moved = self._progress.to_store(still_open or {})
        if not moved:
            return
        try:
            self._consumer.store_offsets(offsets=_partitions(moved))
        except KafkaException as error:
            # a partition taken away meanwhile: its new owner applies the batch again, which is harmless
            if error.args[0].code() != KafkaError._STATE:
                raise
            log.info("offsets of a revoked partition not stored")
            return
        self._progress.stored(moved)

    def done_until(self, topic: str, partition: int) -> int:
        """The offset before which all of one of our partitions was handled, by us or before us."""
        return self._progress.until((topic, partition))

    def commit(self) -> None:
        """Commit what is stored now instead of in the background.

        Best effort: in the midst of a rebalance the broker refuses, and the background commits later.
        """
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                log.info("offsets not committed now: %s", error.args[0].str())

    def close(self) -> None:
        """Commit what is stored and leave the group."""
        self._consumer.close()
        metrics.out_of_group()

    def _poll(self, seconds: float) -> None:
        """Serve the client; what arrives waits in `_early`, also a record of partitions just assigned."""
        self._renew_lease()  # before: this poll may be the one that takes partitions away
        self._seek()
        record = self._consumer.poll(seconds)
        self._raise_fatal()
        if record is not None:
            self._early += self._accept([record])

    def _renew_lease(self) -> None:
        """A poll within the session proves that we are in the group: its heartbeats were sent.

        After a longer gap it does not. A process that was frozen may have lost everything, and its first poll
        still returns a record that was fetched before. The broker knows.
        """
        now = time.monotonic()
        if now - self._polled < self._session_seconds or self._is_member():
            self._lease.renew()
            self._polled = now

    def _is_member(self) -> bool:
        """Whether the broker accepts a commit of ours: of an offset that is committed already."""
        known = _partitions(self._progress.any_stored())
        try:
            if known:
                self._consumer.commit(offsets=known, asynchronous=False)
        except KafkaException as error:
            log.warning("kafka: after a long pause: %s", error.args[0].str())
            return False
        return True

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        self._new_generation()
        self._guarded(lambda: self._take(consumer, partitions))

    def _revoked(self, _: Any, partitions: list[TopicPartition]) -> None:
        self._new_generation()
        self._lease.end()
        log.info("partitions revoked: %d", len(partitions))

    def _take(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        starts = self._starts(consumer, partitions)
        consumer.assign(starts)
        offsets = {(start.topic, start.partition): start.offset for start in starts}
        self._progress, self._positions = Progress(offsets), Positions(offsets)
        # a partition that was paused in `hold` and comes back to us would stay paused for ever
        consumer.resume(partitions)
        metrics.in_group(len(starts))

    def _new_generation(self) -> None:
        """What was read before is read again, by whoever owns its partition now."""
        metrics.out_of_group()
        self._generation += 1
        self._early.clear()
        self._progress, self._positions = Progress(), Positions()

    def _starts(self, consumer: Any, partitions: list[TopicPartition]) -> list[TopicPartition]:
        """Committed offsets; 0, committed at once, where nothing was ever read and nothing has expired."""
        known = _ask(lambda: consumer.committed(partitions, timeout=CALL_SECONDS))
        fresh = [p for p in known if p.offset < 0]
        for partition in fresh:
            low, _ = _ask(partial(consumer.get_watermark_offsets, partition, timeout=CALL_SECONDS))
            if low > 0:
                raise SourceError(
                    f"{partition.topic}[{partition.partition}] begins at {low}, and this group has read none "
                    "of it: what stood before is gone",
                    hint=_RESNAPSHOT,
                )
            partition.offset = 0
        if fresh:
            with contextlib.suppress(KafkaException):  # the group may be rebalancing again already
                consumer.commit(offsets=fresh, asynchronous=False)
        log.info("partitions assigned: %d", len(known))
        return list(known)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Rebalance callbacks run inside poll: keep their error, and raise it after poll."""
        try:
            action()
        except AegisError as error:
            self._fatal = error
        except KafkaException as error:
            self._fatal = SourceError(f"partitions could not be taken: {error}")

    def _raise_fatal(self) -> None:
        if self._fatal is not None:
            raise self._fatal

    def _accept(self, messages: Sequence[KafkaMessage]) -> list[Message]:
        return self._positions.accept(message_of(m) for m in messages if not self._is_event(m))

    def _seek(self) -> None:
        """Tell the client where to go on, in every partition that it may have lost."""
        for place in _partitions(self._positions.doubted()):
            try:
                self._consumer.seek(place)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._STATE:
                    raise SourceError(f"kafka: {place.topic}[{place.partition}]: {error}") from error
                continue  # it has not begun to fetch: with the next poll, then
            self._positions.told((place.topic, place.partition))

    def _is_event(self, message: KafkaMessage) -> bool:
        """Whether this is no record but news of the client; bad news is raised."""
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._MAX_POLL_EXCEEDED:
            # the client has left the group and joins anew; its callbacks tell so a few polls later only
            log.warning("kafka: %s", error.str())
            self._new_generation()
            self._lease.end()
            return True
        if error.code() in _PASSING or error.retriable():
            log.warning("kafka: %s", error.str())
            return True
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise SourceError(f"the place of this group has expired: {error.str()}", hint=_RESNAPSHOT)
        missing = error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)
        hint = "aegis connector apply makes missing topics" if missing else "aegis status"
        raise SourceError(f"kafka: {error.str()}", hint=hint)


def _ask(question: Callable[[], T]) -> T:
    """Ask the broker again for a while: a new topic has no leader yet, a restarted broker knows nothing yet.

    Raises:
        KafkaException: it did not get better.
    """
    again = Retrying(
        retry=retry_if_exception_type(KafkaException),
        wait=wait_fixed(0.5),
        stop=stop_after_delay(ASK_SECONDS),
        reraise=True,
    )
    return again(question)


def _partitions(offsets: Offsets) -> list[TopicPartition]:
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]


def message_of(record: KafkaMessage) -> Message:
    """A record as the client gives it, in our form."""
    headers = cast("list[tuple[str, bytes | None]]", record.headers() or [])
    return Message(
        topic=str(record.topic()),
        partition=int(record.partition() or 0),
        offset=int(record.offset() or 0),
        key=_bytes(record.key()),
        value=_bytes(record.value()),
        headers=tuple((name, _bytes(value) or b"") for name, value in headers),
        timestamp=record.timestamp()[1],
    )


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)
