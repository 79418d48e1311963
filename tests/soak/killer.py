"""Two processors, of which one at a time dies and is replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

from tests.chaos.group import Member

FIRST = (3.0, 10.0)
LIVES = (20.0, 45.0)
"""Seconds between two kills. What a dead process owned is taken over 6 s later, its successor takes 5 s to
start, and then there is a backlog of a thousand changes."""
AWAY = (0.0, 4.0)


class Killer:
    """Kills members of the group at random moments. `kills`: how often it did."""

    def __init__(self, start: Callable[[], Member], dice: Random) -> None:
        self._start, self._dice = start, dice
        self._enough = threading.Event()
        self.members = [start(), start()]
        self.kills = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Until the end; then two members live."""
        with ThreadPoolExecutor(1) as pool:
            killing = pool.submit(self._kill)
            try:
                yield
            finally:
                self._enough.set()
        killing.result()
        assert all(member.lives for member in self.members)

    def _kill(self) -> None:
        wait = FIRST
        while not self._enough.wait(self._dice.uniform(*wait)):
            wait = LIVES
            victim = self._dice.randrange(len(self.members))
            assert self.members[victim].lives, "a processor has ended by itself"
            self.members[victim].kill()
            self.kills += 1
            self._enough.wait(self._dice.uniform(*AWAY))
            self.members[victim] = self._start()
