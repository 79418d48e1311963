"""The world as a hypothesis state machine: a rule for each kind of move; a failure is shrunk to a few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.model.scope import KINDS, Scope
from tests.model.search import BURSTS
from tests.model.world import World

SCOPES = [
    Scope(owners=owners, tags=tags, early=early, settled=not early)
    for owners in (1, 2)
    for tags in (0, 2)
    for early in (False, True)
]
REFUSING = [Scope(owners=1, tags=0, refusing=True), Scope(owners=1, refusing=True), Scope(refusing=True)]
_WEIGHTS = {"write": 2, "emit": 3, "commit": 2}


def _rule(kind: str) -> Callable[[Any], None]:
    """Some move of that kind, where one is possible."""

    @precondition(lambda machine: bool(machine.world and machine.world.options(kind)))
    @rule(choice=st.integers(0, 63))
    def happens(machine: Machine, choice: int) -> None:
        options = machine.world.options(kind)
        machine.world.do(options[choice % len(options)])

    return happens


class Machine(RuleBasedStateMachine):
    """Whatever happened, in the end every store shows the table."""

    world: World = None  # type: ignore[assignment]

    @initialize(scope=st.sampled_from(SCOPES + REFUSING))
    def begin(self, scope: Scope) -> None:
        self.world = World(scope)

    def teardown(self) -> None:
        if self.world:
            try:
                self.world.finish()
            finally:
                note("\n".join(self.world.story))
                self.world.close()

    @precondition(lambda machine: bool(machine.world and machine.world.options("step")))
    @rule(choice=st.integers(0, 63), steps=st.sampled_from(BURSTS))
    def step(self, choice: int, steps: int) -> None:
        """One process goes on for a while."""
        options = self.world.options("step")
        name = options[choice % len(options)][1]
        for number in range(steps):
            options = [option for option in self.world.options("step") if option[1] == name]
            if options:
                self.world.do(options[(choice + number) % len(options)])


for _kind in sorted({*KINDS} - {"step"}):
    for _number in range(_WEIGHTS.get(_kind, 1)):
        setattr(Machine, f"{_kind}_{_number}" if _number else _kind, _rule(_kind))
