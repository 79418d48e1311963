"""Heals what was found of one table: by commands to the processor, which alone writes to the stores.

A command says "read this row again and bring these stores to it". So a repair can be wrong about a record
and still do no harm; what it can do is remove records whose rows PostgreSQL has lost, or never had because it
is another PostgreSQL. The rails are there for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any, Final

from processor.refresh import Command, Request, request
from processor.tables.base import Projection
from reconciler.budget import Budget
from reconciler.errors import CannotVerify, TooDifferent
from reconciler.part import PartCheck, Tools
from reconciler.report import Plan
from reconciler.source import key_values

BATCH: Final = 200
"""Rows that are commanded, and then verified, together: with new vectors, some seconds of work."""
FEW: Final = 10
"""Records of a table that may always be removed, from all stores; divided among the shares of a run."""
Values = Mapping[str, Mapping[str, Any] | None]
"""Key -> its columns; None of a key that no row can have."""
Wrong = Mapping[PartCheck, Mapping[str, bool]]
"""What was found, by part: key -> whether only whole rows tell."""


@dataclass(frozen=True)
class Rails:
    """What a repair may do.

    Attributes:
        apply: False: only say what would be done.
        max_delete_ratio: of a table's records, in each store and in all, the share that may be removed.
        upsert_only: remove nothing.
        allow_empty: heal a table that PostgreSQL has no rows of.
        rate: commands a second.
    """

    apply: bool = False
    max_delete_ratio: float = 0.01
    upsert_only: bool = False
    allow_empty: bool = False
    rate: float = 100


class Repair:
    """One table's repair."""

    plan: Plan | None = None

    def __init__(
        self,
        projection: Projection,
        topic: str,
        tools: Tools,
        send: Callable[[Sequence[Request]], None],
        check_source: Callable[[], None],
        rails: Rails,
        pace: Budget,
    ) -> None:
        """`topic`: of the table's changes; `check_source` raises where this is not the epoch's PostgreSQL."""
        self._projection, self._topic, self._tools = projection, topic, tools
        self._send, self._check_source = send, check_source
        self._rails, self._pace = rails, pace

    def run(self, parts: Sequence[PartCheck]) -> None:
        """Heal what these parts have found. `plan` says what is done; it stays None where there is nothing.

        Raises:
            CannotVerify, TooDifferent: PostgreSQL became another one, or lost the table, in the midst of it.
            StoppedEarly: what was verified stays so.
            SourceError: PostgreSQL or Kafka does not answer.
        """
        wrong = {part: part.wrong() for part in parts if part.error is None}
        keys = list(dict.fromkeys(key for found in wrong.values() for key in found))
        if not keys:
            return
        # one may have come since it was judged, or explain no stamp that cannot be: its cause comes first
        lettered = self._tools.letters(self._projection, set(keys))
        values = {key: key_values(self._projection, key) for key in keys if key not in lettered}
        shown = self._shown([found for found in values.values() if found is not None])
        deletes = values.keys() - shown
        if self._rails.upsert_only:
            values, deletes = {key: values[key] for key in shown}, set()
        refused = self._refusal(deletes, wrong)
        self.plan = Plan(self._rails.apply and refused is None, len(shown), len(deletes), refused)
        if self.plan.applied:
            todo, size = list(values), min(BATCH, ceil(self._rails.rate))
            for start in range(0, len(todo), size):
                self._heal({key: values[key] for key in todo[start : start + size]}, wrong)

    def _refusal(self, deletes: Set[str], wrong: Wrong) -> str | None:
        try:
            self._check()
        except (CannotVerify, TooDifferent) as error:
            return f"{error} (next: {error.hint})"
        few = max(1, FEW // next(iter(wrong)).shards)
        removed = [
            (part.view.store, len(deletes & found.keys()), part.progress.counts.scanned_store)
            for part, found in wrong.items()
        ]
        removed.append(("all stores", len(deletes), max(records for _, _, records in removed)))
        for where, number, records in removed:
            allowed = max(few, int(self._rails.max_delete_ratio * records))
            if number > allowed:
                ratio = min(ceil(100 * number / max(records, 1)) / 100, 1)
                return (
                    f"{number:,} of {records:,} records would be removed from {where}, "
                    f"{allowed:,} may be (next: look at some by aegis trace {self._projection.name} KEY; "
                    f"if PostgreSQL is right: --max-delete-ratio {ratio:g})"
                )
        return None

    def _check(self) -> None:
        """Before every batch: a server may be replaced while a repair goes on."""
        self._check_source()
        if self._rails.allow_empty:
            return
        with self._tools.source.reading() as reader:
            if reader.is_empty(self._projection):
                raise TooDifferent(
                    f"PostgreSQL has no row of {self._projection.name} at all",
                    hint="if it was emptied on purpose: --allow-empty, with --max-delete-ratio 1",
                )

    def _heal(self, values: Values, wrong: Wrong) -> None:
        self._tools.budget.spend()
        self._check()
        commands = list(self._commands(values, wrong))
        self._send(commands)
        self._pace.spend(len(commands))
        for part, found in wrong.items():
            strange = [key for key in found if key in values and values[key] is None]
            mine = {key: deep for key, deep in found.items() if key in values}
            if strange:
                part.attempt(partial(part.remove, strange))
            if mine:
                part.attempt(partial(part.verify, mine))

    def _commands(self, values: Values, wrong: Wrong) -> Iterator[Request]:
        """One for each row, about the stores in which it is wrong."""
        for key, columns in values.items():
            parts = [part for part, found in wrong.items() if key in found and part.error is None]
            if columns is None or not parts:
                continue
            command = Command(
                run_id=parts[0].part.run_id,
                reason="aegis reconcile repair",
                stores=frozenset(part.view.store for part in parts),
                force=True,
            )
            yield request(self._topic, self._projection, columns, command)

    def _shown(self, values: Sequence[Mapping[str, Any]]) -> set[str]:
        """Keys whose rows readers are to see now: the others are removed by a refresh."""
        view = self._projection.views[0]
        with self._tools.source.looking() as reader:
            versions = reader.look(self._projection, view, values).versions
        return {key for key, version in versions.items() if version.fp is not None}
