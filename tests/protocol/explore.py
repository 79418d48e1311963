"""Every state that a scenario can reach, each visited once, the nearest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from reconciler.verdict import Verdict
from tests.protocol import owner, recheck
from tests.protocol import source as database
from tests.protocol.faults import faults
from tests.protocol.path import Limits, Path, fingerprint, first_record, is_quiet
from tests.protocol.recheck import Check, Procedure, Step
from tests.protocol.source import Source, Transaction

TOO_MANY = 1_000_000
"""States: half a minute and 0.7 GB."""
RIGHT = Procedure()


class Scenario(NamedTuple):
    """The row's value at first (None: no row), what sessions do, and what may happen besides."""

    first: str | None
    transactions: tuple[Transaction, ...]
    limits: Limits = Limits()


class State(NamedTuple):
    source: Source
    path: Path
    check: Check


class Explored(NamedTuple):
    """How many states there are; `wrong` is what was found, `trace` the shortest way to it."""

    states: int
    wrong: str | None = None
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([f"{self.wrong} in {self.states} states, after", *self.trace])


Moves = Callable[[State], Iterable[tuple[str, State]]]


def explore_rechecks(scenario: Scenario, procedure: Procedure = RIGHT) -> Explored:
    """Look for a verdict of drift although nobody did any harm: one recheck, begun at any moment."""
    return _explore(scenario, _moves(scenario, procedure), _false_verdict)


def explore_faults(scenario: Scenario, procedure: Procedure = RIGHT) -> Explored:
    """Look for a quiet state whose record is wrong by itself, or in which a fault is not found."""
    return _explore(
        scenario,
        _moves(scenario, None),
        lambda state: _missed_fault(scenario, procedure, state),
    )


def _explore(scenario: Scenario, moves: Moves, wrong: Callable[[State], str | None]) -> Explored:
    first = scenario.first
    start = State(database.start(scenario.transactions, first), Path(first_record(first)), Check())
    came: dict[State, tuple[State, str] | None] = {start: None}
    due = deque([start])
    while due:
        state = due.popleft()
        if found := wrong(state):
            return Explored(len(came), found, _trace(came, state))
        for name, after in moves(state):
            if after not in came:
                came[after] = (state, name)
                due.append(after)
        assert len(came) < TOO_MANY, f"{scenario} is too large to be explored"
    return Explored(len(came))


def _trace(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    names: list[str] = []
    while step := came[state]:
        state, name = step
        names.append(name)
    return tuple(reversed(names))


def _moves(scenario: Scenario, procedure: Procedure | None) -> Moves:
    """All steps of everybody; `procedure` None: nobody rechecks. What one part does is worked out once."""
    limits = scenario.limits

    @cache
    def of_source(source: Source) -> list[tuple[str, Source]]:
        return list(database.moves(scenario.transactions, source))

    @cache
    def of_path(source: Source, path: Path) -> list[tuple[str, Path]]:
        return list(owner.moves(limits, source, path))

    def moves(state: State) -> Iterator[tuple[str, State]]:
        source, path, check = state
        if check.step is Step.DONE:
            return
        for name, found in of_source(source):
            yield name, State(found, path, check)
        if check.step < Step.STORE_READ:
            for name, after in of_path(source, path):
                yield name, State(source, after, check)
        if procedure is not None:
            for name, found, checked in recheck.moves(procedure, limits, source, path, check):
                # what becomes of the record after it was read changes no verdict
                left = path if checked.step < Step.STORE_READ else Path(None)
                yield name, State(found, left, checked)

    return moves


def _false_verdict(state: State) -> str | None:
    said = state.check.verdict
    return None if said in (None, Verdict.OK, Verdict.HOT) else f"false verdict: {said}"


def _missed_fault(scenario: Scenario, procedure: Procedure, state: State) -> str | None:
    source, path, _ = state
    if not is_quiet(source, path):
        return None
    row = database.read(source, database.look(source)).row
    shown = None if row is None else fingerprint(row.value)
    if shown != (None if path.record is None else path.record.contents):
        return "a quiet store that differs"
    for name, record, expected in faults(source, path.record, first_record(scenario.first)):
        said = _two_rounds(scenario, procedure, source, path._replace(record=record))
        if said not in ([expected, expected], [Verdict.HOT, expected]):
            return f"{name}: {said} instead of {expected}"
    return None


def _two_rounds(scenario: Scenario, procedure: Procedure, source: Source, path: Path) -> list[Verdict | None]:
    said: list[Verdict | None] = []
    for _ in range(2):
        check = Check()
        while check.step is not Step.DONE:
            _, source, check = next(recheck.moves(procedure, scenario.limits, source, path, check))
        said.append(check.verdict)
    return said
