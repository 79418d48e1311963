"""The soak: the stack and fixtures of the chaos tests."""

from __future__ import annotations

from tests.chaos.conftest import database, pipeline, pytest_terminal_summary, settings, stack, tell

__all__ = ["database", "pipeline", "pytest_terminal_summary", "settings", "stack", "tell"]
