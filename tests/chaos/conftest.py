"""Chaos tests: the stack and fixtures of the integration tests, and how to tell what was counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from tests.chaos.versions import History
from tests.integration.conftest import database, pipeline, settings, stack

__all__ = ["database", "history", "pipeline", "settings", "stack", "tell"]
TOLD = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Shows a number that the test has counted, at the end of the run."""
    told = request.config.stash.setdefault(TOLD, [])
    return lambda line: told.append(f"{request.node.name}: {line}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(TOLD, []):
        terminalreporter.write_line(line)


@pytest.fixture
def history(pipeline: sa.Engine, settings: Settings, tell: Callable[[str], None]) -> Iterator[History]:
    """The changes of the policies since the test began; at its end their versions must have risen."""
    history = History(settings)
    yield history
    versions = history.versions()
    tell(str(versions))
    assert versions.events > 0
    assert versions.inversions == []
