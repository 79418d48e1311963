"""The broker, Connect and the schema registry are restarted and killed while changes flow."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from tests.chaos.load import under_load
from tests.chaos.versions import History
from tests.integration.outage import killed, restarted, until
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


def test_processors_that_find_no_registry_wait_for_it_and_end_equal(
    pipeline: sa.Engine, settings: Settings, history: History, tmp_path: Path
) -> None:
    """The first one knows the schemas; those that take over some of its partitions must ask for them."""
    with under_load(pipeline, settings, tmp_path) as (_, start):
        for away in (restarted, killed):
            with away("registry"):
                another = start()
                until(lambda: another.said("registry does not answer"))  # noqa: B023
                assert another.applied == 0
            until(lambda: another.applied > 0)  # noqa: B023
