"""In every order of steps: no false verdict, no fault that is not found, no quiet store that differs.

Explored completely, not sampled: 2.4 million states in all. Those that take more than two seconds only with
AEGIS_MODEL_WALKS (`make model`).
"""

from __future__ import annotations

import os

import pytest

from tests.protocol.explore import explore_faults, explore_rechecks
from tests.protocol.scenarios import LARGE, SCENARIOS

EXPLORED = [name for name in SCENARIOS if name not in LARGE or "AEGIS_MODEL_WALKS" in os.environ]


@pytest.mark.parametrize("name", EXPLORED)
def test_a_recheck_reports_nothing_where_nobody_did_harm(name: str) -> None:
    explored = explore_rechecks(SCENARIOS[name])
    assert explored.wrong is None, str(explored)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_recheck_finds_every_fault_in_every_quiet_state_and_names_it(name: str) -> None:
    explored = explore_faults(SCENARIOS[name])
    assert explored.wrong is None, str(explored)
