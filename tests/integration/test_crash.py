"""What is left when the processor dies: nothing lost, nothing doubled."""

from __future__ import annotations

import contextlib
import random
import subprocess
from itertools import pairwise

import sqlalchemy as sa

from processor.offsets import GroupOffsets
from processor.settings import Settings
from sql.models import Policy
from tests.integration.conftest import aegis
from tests.integration.path import (
    assert_stores_equal_postgresql,
    delete,
    in_kafka,
    insert,
    policy,
    start_processor,
    unique,
)

TOPIC = "aegis.public.policies"
BATCH = 50
"""Small batches: more moments at which something is half done."""


def survive(engine: sa.Engine, settings: Settings, rows: int, kills: int) -> None:
    """kill -9 at random moments while it catches up; afterwards every store equals its projection."""
    prefix = unique("crash")
    dice = random.Random(prefix)  # noqa: S311
    insert(engine, [policy(f"{prefix}-{n}", title=f"판 {n % 40}") for n in range(rows)])
    mine = Policy.policy_id.startswith(prefix)
    with engine.begin() as connection:
        connection.execute(sa.update(Policy).where(mine).values(title=Policy.title + " 고침"))
        connection.execute(sa.update(Policy).where(mine).values(quality_score=0.5))
    in_kafka(engine)
    group = GroupOffsets(settings.kafka, [TOPIC])
    ends = group.ends()
    left = [group.lag(ends)]
    for _ in range(kills):
        before = group.committed()
        process = start_processor(BATCH_SIZE=str(BATCH))
        while group.committed() == before:  # it has applied something, and not all
            assert process.poll() is None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=dice.uniform(0, 0.4))
        process.kill()
        process.wait()
        left.append(group.lag(ends))
    group.close()
    assert all(earlier > later > 0 for earlier, later in pairwise(left)), left
    aegis("process", "--until-caught-up")
    assert assert_stores_equal_postgresql(settings, engine) >= 4 * rows
    delete(engine, prefix)
    in_kafka(engine)
    aegis("process", "--until-caught-up")
    assert_stores_equal_postgresql(settings, engine)


def test_a_processor_killed_in_the_middle_loses_nothing(pipeline: sa.Engine, settings: Settings) -> None:
    survive(pipeline, settings, rows=600, kills=2)
