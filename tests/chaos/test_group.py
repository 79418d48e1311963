"""Processes that share the work come, die, and freeze until others have taken their partitions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from tests.chaos.group import POLL_SECONDS, Member, shares
from tests.chaos.healing import assert_equal_after_refresh
from tests.chaos.load import under_load
from tests.chaos.versions import History
from tests.integration.outage import until


@pytest.mark.short
def test_from_one_process_to_three_to_two_under_load_ends_equal(
    pipeline: sa.Engine, settings: Settings, history: History, tell: Callable[[str], None], tmp_path: Path
) -> None:
    whole = settings.kafka.partitions

    def verify() -> None:
        assert_equal_after_refresh(settings, pipeline, tell)

    with under_load(pipeline, settings, tmp_path, verify) as (first, start):
        assert shares(settings) == [whole]
        second, third = start(), start()
        until(lambda: shares(settings) == [whole // 3] * 3)
        await_work(first, second, third)
        second.kill()
        until(lambda: shares(settings) == [whole // 2] * 2)
        third.freeze()
        until(lambda: shares(settings) == [whole])
        threading.Event().wait(POLL_SECONDS)  # by its own clock too it is late when it thaws
        await_work(first)
        third.thaw()
        until(lambda: shares(settings) == [whole // 2] * 2)
        await_work(first, third)


def await_work(*members: Member) -> None:
    """Until each has applied another two batches: the second was read after this call."""
    goals = [(member, member.applied + 2) for member in members]
    until(lambda: all(member.applied >= goal for member, goal in goals))
