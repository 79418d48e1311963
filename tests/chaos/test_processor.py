"""The processor dies ten times while it catches up."""

from __future__ import annotations

import sqlalchemy as sa

from processor.settings import Settings
from tests.integration.test_crash import survive

KILLS = 10


def test_a_processor_killed_ten_times_loses_nothing(pipeline: sa.Engine, settings: Settings) -> None:
    survive(pipeline, settings, rows=2_000, kills=KILLS)
