"""What a replay does with one partition's open letters, and how far its position may move. Pure.

A row's letters are healed by one refresh of the row. The position may never pass a letter that was not
replayed, but for those that no replay can help: they name no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ops.dlq.selection import Selection
from processor.dead_letters import DeadLetter
from processor.refresh import Command


@dataclass(slots=True)
class Row:
    """The open letters of one row on one partition.

    Attributes:
        first: offset of the first of them.
        place, tries, first_failed_at, first_place: of the newest.
        letters: how many.
        wanted: whether the selection takes one of them: the refresh heals the others with it.
    """

    table: str
    key: str
    values: Mapping[str, Any]
    first: int
    place: str = ""
    tries: int = 1
    first_failed_at: int = 0
    first_place: str = ""
    letters: int = 0
    wanted: bool = False

    def add(self, letter: DeadLetter, wanted: bool) -> None:
        """The next letter of this row."""
        self.place, self.tries = letter.place, letter.tries
        self.first_failed_at, self.first_place = letter.first_failed_at, letter.first_place
        self.letters += 1
        self.wanted |= wanted

    def command(self, run_id: str) -> Command:
        """What has the row read again; should that fail, the letter says how often and since when."""
        return Command(
            run_id=run_id,
            reason="replay",
            letter=self.first_place,
            replays=self.tries,
            first_failed_at=self.first_failed_at,
        )


@dataclass
class Plan:
    """One partition.

    Attributes:
        end: the partition's end when the replay began.
        replayed: rows to be replayed, by their first letter.
        given_up: rows that were replayed too often.
        left: rows that the selection does not take, or that are beyond the limit.
        nameless: letters that name no row.
    """

    end: int
    replayed: list[Row] = field(default_factory=list)
    given_up: list[Row] = field(default_factory=list)
    left: list[Row] = field(default_factory=list)
    nameless: list[DeadLetter] = field(default_factory=list)

    def position(self, done: int) -> int:
        """Where the next replay begins, once the first `done` rows are replayed."""
        kept = min((row.first for row in (*self.given_up, *self.left)), default=self.end)
        following = self.replayed[done].first if done < len(self.replayed) else self.end
        return min(kept, following)

    def letters_left(self, done: int) -> int:
        """Letters that are not replayed then, those given up included."""
        return sum(row.letters for row in (*self.replayed[done:], *self.given_up, *self.left))


def make_plan(
    letters: Iterable[DeadLetter], end: int, selection: Selection, max_replays: int, limit: int | None
) -> Plan:
    """Of a partition's open letters, in their order; at most `limit` rows are replayed."""
    rows: dict[str, Row] = {}
    plan = Plan(end)
    for letter in letters:
        if letter.values is None:
            plan.nameless.append(letter)
            continue
        row = rows.setdefault(letter.key, Row(letter.table, letter.key, letter.values, letter.offset))
        row.add(letter, selection.takes(letter))
    for row in rows.values():  # in the order of their first letters
        if not row.wanted:
            plan.left.append(row)
        elif row.tries > max_replays:
            plan.given_up.append(row)
        elif limit is not None and len(plan.replayed) >= limit:
            plan.left.append(row)
        else:
            plan.replayed.append(row)
    return plan
