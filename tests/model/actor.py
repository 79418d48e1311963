"""A process that can be stopped between its steps: a thread that runs only while somebody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Crash(BaseException):
    """kill -9: passes through everything."""


class Clock:
    """`time`, for modules that measure it: it stands still until somebody polls."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def tick(self) -> None:
        """Longer than anybody waits."""
        self._now += 100


CLOCK = Clock()


class Actor:
    """Runs `body` from one `pause` to the next whenever it is resumed.

    Attributes:
        at: what it will do when it is resumed; None when it has ended.
    """

    def __init__(self, body: Callable[[], object]) -> None:
        self.at: str | None = "begin"
        self._body = body
        self._order: Any = None
        self._error: BaseException | None = None
        self._go, self._back = threading.Lock(), threading.Lock()
        self._go.acquire()
        self._back.acquire()
        threading.Thread(target=self._run, daemon=True).start()

    def resume(self, order: Any = None) -> None:
        """Let it go on to its next pause; raises what it raised. An exception as `order` is raised in it."""
        self._order = order
        self._go.release()
        self._back.acquire()
        if self._error is not None:
            raise self._error

    def pause(self, at: str) -> Any:
        """Called by the body: wait to be resumed; returns the order given then."""
        self.at = at
        self._back.release()
        self._go.acquire()
        if isinstance(self._order, BaseException):
            raise self._order
        return self._order

    def end(self) -> None:
        """Kill it, wherever it is."""
        if self.at is not None:
            self.resume(Crash())

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not isinstance(self._order, BaseException):
                self._body()
        except Crash:
            pass
        except BaseException as error:
            self._error = error
        self.at = None
        self._back.release()
