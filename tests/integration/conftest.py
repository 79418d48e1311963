"""The running local stack, and the path through it. Tests share it and keep apart by their keys.

Native (`aegis stack up`) or, for AEGIS_TEST_STACK=docker, in containers of this run (`make test-docker`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from processor.settings import Settings, load_settings
from tests.integration import containers

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)
    if containers.wanted():
        containers.deselect_native(config, items)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    return [f"not on Docker: {reason}" for reason in config.stash.get(containers.REASONS, [])]


@pytest.fixture(scope="session", autouse=True)
def stack() -> Iterator[None]:
    """The servers: those that run already, or containers of this run."""
    if containers.wanted():
        with containers.running():
            yield
    else:
        yield


@pytest.fixture(scope="session")
def settings(stack: None) -> Settings:
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
