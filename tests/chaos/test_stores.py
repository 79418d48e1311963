"""Stores that die or freeze while changes flow."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from tests.integration.outage import STORES, Away, frozen, killed, ride_out


@pytest.mark.parametrize("away", [killed, frozen])
@pytest.mark.parametrize("store", STORES)
def test_a_store_that_dies_or_freezes_ends_equal(
    pipeline: sa.Engine, settings: Settings, store: str, away: Away
) -> None:
    ride_out(settings, pipeline, store, away)
