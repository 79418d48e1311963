"""Processes that share the work come, die, and freeze until others have taken their partitions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from tests.chaos.group import POLL_SECONDS, Member, processors, shares
from tests.chaos.healing import assert_equal_after_refresh
from tests.chaos.versions import History
from tests.integration.outage import ROWS, changes_flowing, letters, until
from tests.integration.path import catch_up, delete, insert, policy, unique

WRITERS = 3


@pytest.mark.short
def test_from_one_process_to_three_to_two_under_load_ends_equal(
    pipeline: sa.Engine, settings: Settings, history: History, tell: Callable[[str], None], tmp_path: Path
) -> None:
    prefix, all_of_them = unique("group"), settings.kafka.partitions
    insert(pipeline, [policy(f"{prefix}-{n}") for n in range(ROWS)])
    before = letters(settings)
    with processors(tmp_path) as start:
        first = start()
        catch_up(pipeline, settings)
        assert shares(settings) == [all_of_them]
        with changes_flowing(pipeline, prefix, WRITERS):
            second, third = start(), start()
            until(lambda: shares(settings) == [all_of_them // 3] * 3)
            await_work(first, second, third)
            second.kill()
            until(lambda: shares(settings) == [all_of_them // 2] * 2)
            third.freeze()
            until(lambda: shares(settings) == [all_of_them])
            threading.Event().wait(POLL_SECONDS)  # by its own clock too it is late when it thaws
            await_work(first)
            third.thaw()
            until(lambda: shares(settings) == [all_of_them // 2] * 2)
            await_work(first, third)
        catch_up(pipeline, settings)
        assert (first.lives, second.lives, third.lives) == (True, False, True)
        assert letters(settings) == before
        assert_equal_after_refresh(settings, pipeline, tell)
    delete(pipeline, prefix)


def await_work(*members: Member) -> None:
    """Until each has applied another two batches: the second was read after this call."""
    goals = [(member, member.applied + 2) for member in members]
    until(lambda: all(member.applied >= goal for member, goal in goals))
