"""Chaos tests run on the same stack as the integration tests, with the same fixtures."""

from tests.integration.conftest import database, pipeline, settings, stack

__all__ = ["database", "pipeline", "settings", "stack"]
