"""The running local stack, and the path through it. Tests share it and keep apart by their keys."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from processor.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]


def aegis(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    result = subprocess.run(
        [Path(sys.executable).with_name("aegis"), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert result.returncode == 0, result.stdout + result.stderr
    return result


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings()


@pytest.fixture(scope="session")
def database(settings: Settings) -> Iterator[sa.Engine]:
    """The migrated database of the running stack, as its owner."""
    aegis("migrate")
    engine = sa.create_engine(settings.postgres.url(), poolclass=sa.NullPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def pipeline(database: sa.Engine) -> sa.Engine:
    """The database with its connector running: what is committed reaches Kafka."""
    aegis("connector", "apply")
    return database
