"""Each store is stopped and started while changes flow: nothing is lost, nothing becomes a dead letter."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from tests.integration.outage import STORES, ride_out, stopped

pytestmark = pytest.mark.native("stops and starts servers of the native stack")


@pytest.mark.parametrize("store", STORES)
def test_a_store_that_is_stopped_and_started_ends_equal(
    pipeline: sa.Engine, settings: Settings, store: str
) -> None:
    ride_out(settings, pipeline, store, stopped)
