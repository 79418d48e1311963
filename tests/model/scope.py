"""How large a world is, what may happen in it, and how time passes there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final
from unittest import mock

from tests.model.actor import CLOCK
from tests.model.changes import ITEM_VALUES

KINDS: Final = (
    *("write", "commit", "show", "emit", "repeat", "look"),
    *("command", "narrow", "step", "store", "crash", "group", "remodel", "refuse", "replay"),
)


@dataclass(frozen=True)
class Scope:
    """How large a world is. A small one is explored faster.

    Attributes:
        early: the first change is written before the initial snapshot, and committed after it.
        settled: the initial snapshot's rows have been applied.
        filled: rows that there are at the beginning.
        transactions: how many may be under way at once.
        refusing: stores may refuse records for good.
    """

    owners: int = 2
    items: int = 2
    tags: int = 2
    values: int = len(ITEM_VALUES)
    early: bool = False
    settled: bool = True
    filled: int = 1
    transactions: int = 3
    refusing: bool = False


@contextmanager
def simulated() -> Iterator[None]:
    """Time stands still while nobody polls, and a sweep's page holds one record."""
    with ExitStack() as stack:
        for module in ("consumer", "backlog"):
            stack.enter_context(mock.patch(f"processor.{module}.time", CLOCK))
        stack.enter_context(mock.patch("processor.sweeper.PAGE", 1))
        yield
