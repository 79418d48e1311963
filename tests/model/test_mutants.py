"""Every rule is needed: without it, the model finds a world that ends with a wrong store."""

from __future__ import annotations

import pytest

from tests.model import mutants, mutants_of_saga
from tests.model.mutating import mutated
from tests.model.search import perform

MUTANTS = mutants.MUTANTS | mutants_of_saga.MUTANTS
TRIES = 1_000
"""The hardest to find needs 300: two of fifty steps must come in one order, and nothing after may heal it."""


@pytest.mark.parametrize("name", MUTANTS)
def test_the_model_finds_out_when(name: str) -> None:
    mutant = MUTANTS[name]
    with mutated(mutant):
        failures = (perform(seed, mutant.script) for seed in range(TRIES))
        found = next(filter(None, failures), None)
    assert found, f"{TRIES} worlds, and in none it did any harm that {name}"
    assert isinstance(found.error, AssertionError), found.error


@pytest.mark.parametrize("name", MUTANTS)
def test_nothing_is_wrong_in_the_same_worlds_otherwise(name: str) -> None:
    for seed in range(20):
        assert perform(seed, MUTANTS[name].script) is None
