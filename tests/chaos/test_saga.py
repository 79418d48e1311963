"""A process that undoes refused changes dies at each of its steps in turn."""

from __future__ import annotations

import sqlalchemy as sa

from processor.settings import Settings
from tests.integration.saga import saga_world

MOST = 60


def test_every_refusal_is_undone_everywhere_whichever_step_was_the_last(
    pipeline: sa.Engine, settings: Settings
) -> None:
    with saga_world(pipeline, settings) as world:
        steps = next(n for n in range(MOST) if world.survives(f"after {n}", n))
        assert steps > 20
