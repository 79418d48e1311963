"""What is left when the processor dies: nothing lost, nothing doubled."""

from __future__ import annotations

import contextlib
import random
import subprocess

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


def test_a_processor_killed_in_the_middle_loses_nothing(pipeline: sa.Engine, settings: Settings) -> None:
    """kill -9 at random moments while it catches up; afterwards every store equals its projection."""
    prefix = unique("crash")
    dice = random.Random(prefix)  # noqa: S311
    for n in range(0, 3_000, 500):
        insert(pipeline, [policy(f"{prefix}-{i}", title=f"판 {i}") for i in range(n, n + 500)])
    with pipeline.begin() as connection:
        mine = Policy.policy_id.startswith(prefix)
        connection.execute(sa.update(Policy).where(mine).values(title=Policy.title + " 고침"))
    in_kafka(pipeline)
    group = GroupOffsets(settings.kafka, [TOPIC])
    ends = group.ends()
    left = [group.lag(ends)]
    for _ in range(2):
        before = group.committed()
        process = start_processor()
        while group.committed() == before:  # it has applied something, and not all
            assert process.poll() is None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=dice.uniform(0, 0.5))
        process.kill()
        process.wait()
        left.append(group.lag(ends))
    group.close()
    assert left[0] > left[1] > 0
    aegis("process", "--until-caught-up")
    assert assert_stores_equal_postgresql(settings, pipeline) >= 3_000
    delete(pipeline, prefix)
    in_kafka(pipeline)
    aegis("process", "--until-caught-up")
    assert_stores_equal_postgresql(settings, pipeline)
