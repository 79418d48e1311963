"""Stores that say no for good, and processes that die between two calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from processor.stores.base import Outcome, Put, Refused, Store, Write
from processor.tables.base import View

Says = Callable[[View, Write], bool]


def nothing(view: View, write: Write) -> bool:
    return False


def shows(field: str, *values: object) -> Says:
    """Refuses to show one of these values."""
    return lambda view, write: isinstance(write, Put) and write.body.get(field) in values


def anything(view: View, write: Write) -> bool:
    return True


class Refusing:
    """Passes everything on to a store, but writes that `refuses` names: those are refused for good."""

    def __init__(self, store: Store, refuses: Says = nothing) -> None:
        self.store = store
        self.refuses = refuses

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        taken = [write for write in writes if not self.refuses(view, write)]
        outcomes = iter(self.store.apply(view, taken) if taken else [])
        return [
            Refused(f"{type(write).__name__} is refused") if self.refuses(view, write) else next(outcomes)
            for write in writes
        ]


class Crash(BaseException):
    """The process dies: nothing after this happens."""


class Countdown:
    """Lets some steps happen, then dies before the next one."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Crash


class Mortal:
    """A store, called by a process that may die before and after each of its writes."""

    def __init__(self, store: Any, countdown: Countdown) -> None:
        self.store = store
        self.countdown = countdown

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        self.countdown.step()
        outcomes: list[Outcome] = self.store.apply(view, writes)
        self.countdown.step()
        return outcomes
