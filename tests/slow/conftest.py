"""The fixtures of the integration tests, for those of them that take minutes."""

from tests.integration.conftest import database, pipeline, settings, stack

__all__ = ["database", "pipeline", "settings", "stack"]
