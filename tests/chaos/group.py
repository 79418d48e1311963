"""Processors of one consumer group: started with a log of their own, killed, frozen, thawed."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from confluent_kafka.admin import AdminClient

from processor.settings import Settings
from tests.chaos.versions import TOPIC
from tests.integration.path import start_processor

SESSION_SECONDS: Final = 6
"""The least that the broker allows; a call to the vector store (5 s) must fit in."""
POLL_SECONDS: Final = 10
"""The least that our settings allow between two polls."""
END_SECONDS: Final = 60
SETTINGS: Final = {
    "KAFKA_SESSION_TIMEOUT_MS": str(SESSION_SECONDS * 1000),
    "KAFKA_MAX_POLL_INTERVAL_MS": str(POLL_SECONDS * 1000),
    "BATCH_SIZE": "50",  # more moments at which something is half done
    "EMBEDDING_THREADS": "1",  # several of them share the cores
    "LOG_LEVEL": "DEBUG",
}


class Member:
    """One processor of the group."""

    def __init__(self, log: Path, **settings: str) -> None:
        self._log = log
        self._process = start_processor(log, **(SETTINGS | settings))

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def applied(self) -> int:
        """Batches that every store has taken."""
        return sum(message.startswith("batch of") and message.endswith("done") for message in self._told())

    def said(self, words: str) -> bool:
        """Whether its log has a line with these words."""
        return any(words in message for message in self._told())

    def freeze(self) -> None:
        """It neither works nor ends."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was, as if no time had passed."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As by a loss of power; a frozen one too."""
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Ask it to end after the batch at hand; returns its exit code."""
        self._process.terminate()
        return self._process.wait(END_SECONDS)

    def _told(self) -> list[str]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [json.loads(line)["message"] for line in lines if line.startswith("{") and line.endswith("}")]


@contextmanager
def processors(folder: Path, **settings: str) -> Iterator[Callable[[], Member]]:
    """Starts members with `settings`; those that still live end in good order, and none is left behind."""
    started: list[Member] = []

    def start() -> Member:
        started.append(Member(folder / f"processor-{len(started)}.log", **settings))
        return started[-1]

    try:
        yield start
        assert {member.end() for member in started if member.lives} <= {0}
    finally:
        for member in started:
            member.kill()


def shares(settings: Settings) -> list[int]:
    """How many partitions of the policies each member of the group owns, in ascending order."""
    admin = AdminClient(settings.kafka.client())
    (described,) = admin.describe_consumer_groups([settings.kafka.group_id]).values()
    owned = (member.assignment.topic_partitions for member in described.result(10).members)
    return sorted(sum(place.topic == TOPIC for place in places) for places in owned)
