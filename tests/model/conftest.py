"""Every test here lives in simulated time, with pages of one record."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.model.scope import simulated


@pytest.fixture(autouse=True)
def simulation() -> Iterator[None]:
    """A store that loses answers warns each time: that is the plan."""
    logging.disable(logging.WARNING)
    with simulated():
        yield
    logging.disable(logging.NOTSET)
