"""The broker, Connect and the schema registry are restarted and killed while changes flow."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from tests.chaos.load import under_load
from tests.chaos.versions import History
from tests.integration.outage import Away, killed, restarted, until
from tests.integration.path import in_kafka

pytestmark = pytest.mark.native("stops and kills servers of the native stack")
AWAY_SECONDS = 2
KILLS = 5
"""Connect stores its place once a second and sends what came after it again: one kill nearly always does."""


def test_a_broker_that_is_restarted_and_dies_ends_equal(
    pipeline: sa.Engine, settings: Settings, history: History, tmp_path: Path
) -> None:
    with under_load(pipeline, settings, tmp_path):
        for away in (restarted, killed):
            with away("kafka"):
                threading.Event().wait(AWAY_SECONDS)
            in_kafka(pipeline)


@pytest.mark.short
def test_a_connect_that_is_restarted_and_dies_sends_changes_again_and_ends_equal(
    pipeline: sa.Engine, settings: Settings, history: History, tmp_path: Path
) -> None:
    with under_load(pipeline, settings, tmp_path):
        for away in (restarted, *[killed] * KILLS):
            with away("connect"):
                threading.Event().wait(AWAY_SECONDS)
            in_kafka(pipeline)
            if away is killed and history.versions().duplicates:
                break
    assert history.versions().duplicates > 0


@pytest.mark.parametrize("away", [restarted, killed])
def test_a_processor_that_finds_no_registry_waits_for_it(
    pipeline: sa.Engine, settings: Settings, history: History, tmp_path: Path, away: Away
) -> None:
    """The first one knows the schemas; the second takes over half of the partitions and must ask for them."""
    with under_load(pipeline, settings, tmp_path) as (_, start):
        with away("registry"):
            second = start()
            until(lambda: second.said("registry does not answer"))
            assert second.applied == 0
        until(lambda: second.applied > 0)
