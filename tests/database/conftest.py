"""Tests that need PostgreSQL only: each module on databases of its own, so they may run side by side."""

from tests.integration.conftest import database, settings, stack

__all__ = ["database", "settings", "stack"]
