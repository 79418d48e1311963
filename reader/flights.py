"""One load of an entry at a time in this process: whoever asks meanwhile gets its result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from processor.errors import SourceError

T = TypeVar("T")


class Flights(Generic[T]):
    """Loads under way, by name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[T]] = {}
        self.joined = 0
        """How many calls took the result of another's load."""

    def once(self, name: str, load: Callable[[], T]) -> T:
        """The result of `load`, or of the one that is under way; raises what it raises.

        Raises:
            SourceError: the thread of the load that was under way was interrupted; the load may succeed here.
        """
        with self._lock:
            flight = self._under_way.get(name)
            if flight is not None:
                self.joined += 1
            else:
                mine = self._under_way[name] = Future()
        if flight is not None:
            return flight.result()
        try:
            mine.set_result(load())
        except BaseException as error:
            # an interrupt or an exit is meant for one thread: those that wait for it go on
            mine.set_exception(error if isinstance(error, Exception) else _interrupted(name, error))
            raise
        finally:
            with self._lock:
                del self._under_way[name]
        return mine.result()


def _interrupted(name: str, error: BaseException) -> SourceError:
    return SourceError(
        f"the thread that loaded {name} for all was interrupted ({type(error).__name__})",
        hint="read it again",
    )
