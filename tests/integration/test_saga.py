"""One store refuses: none shows the change, its letter says what became of it, and a replay makes all equal.

Every operation, with every store as the one that refuses, and with one that refuses to be put back, too.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from tests.integration.saga import World, saga_world


@pytest.fixture(scope="module")
def world(pipeline: sa.Engine, settings: Settings) -> Iterator[World]:
    with saga_world(pipeline, settings) as made:
        yield made


def test_every_refusal_is_undone_everywhere(world: World) -> None:
    assert world.survives("alive", steps=1_000_000)


@pytest.mark.parametrize("steps", [5, 13])
def test_so_it_is_when_the_process_dies_in_between(world: World, steps: int) -> None:
    """While stores take the changes, and while they are put back; tests/chaos has every step."""
    assert not world.survives(f"dies after {steps}", steps)
