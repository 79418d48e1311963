"""Whatever happens between any two steps of any process: in the end every store shows PostgreSQL's rows.

Where a store refuses a row for good, all show an older one and a letter waits, until the store takes it and
the letter is replayed (judge.py says it precisely). No version is above that of the last change that the
stream brought, and nothing is stuck. How many worlds are tried is AEGIS_MODEL_WALKS (`make model` tries many
more than `make unit`).
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import REFUSING, SCOPES, Machine
from tests.model.scope import Scope
from tests.model.search import shrink, wander

WALKS = int(os.environ.get("AEGIS_MODEL_WALKS", "40"))


def test_any_order_of_events_ends_with_every_store_showing_the_table() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=3 * WALKS,
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("scope", SCOPES + REFUSING, ids=str)
def test_long_random_walks_end_so_too(scope: Scope) -> None:
    for seed in range(WALKS):
        failure = wander(seed, scope)
        if failure:
            story, error = shrink(failure)
            pytest.fail("\n".join([f"seed {seed}", *story, str(error)]))
