"""Every rule is needed: without it, the exploration finds a verdict that is wrong."""

from __future__ import annotations

import pytest

from tests.protocol.controls import CONTROLS
from tests.protocol.explore import RIGHT
from tests.protocol.mutating import edited


@pytest.mark.parametrize("name", CONTROLS)
def test_something_goes_wrong_when(name: str) -> None:
    control = CONTROLS[name]
    with edited(control.edits):
        explored = control.explore(control.scenario, control.procedure)
    assert explored.wrong, f"{explored.states} states, and in none it did any harm that {name}"


@pytest.mark.parametrize("name", CONTROLS)
def test_nothing_is_wrong_in_the_same_scenario_otherwise(name: str) -> None:
    control = CONTROLS[name]
    explored = control.explore(control.scenario, RIGHT)
    assert explored.wrong is None, str(explored)
