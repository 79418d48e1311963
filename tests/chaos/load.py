"""The frame of every scenario: changes flow, processors apply them, and in the end all is as it must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from processor.settings import Settings
from tests.chaos.group import Member, processors
from tests.integration.outage import ROWS, changes_flowing, letters
from tests.integration.path import (
    assert_stores_equal_postgresql,
    catch_up,
    delete,
    insert,
    policy,
    unique,
)

WRITERS = 2


@contextmanager
def under_load(
    engine: sa.Engine,
    settings: Settings,
    folder: Path,
    verify: Callable[[], object] | None = None,
) -> Iterator[tuple[Member, Callable[[], Member]]]:
    """Yields a processor that is at work and what starts another one.

    Afterwards the processor is still the same one, nothing has become a dead letter, and the stores equal
    PostgreSQL, or what else `verify` asserts.
    """
    prefix, before = unique("load"), letters(settings)
    insert(engine, [policy(f"{prefix}-{n}") for n in range(ROWS)])
    with processors(folder) as start:
        first = start()
        catch_up(engine, settings)
        with changes_flowing(engine, prefix, WRITERS):
            yield first, start
        catch_up(engine, settings)
        assert first.lives
        assert letters(settings) == before
        if verify is None:
            assert assert_stores_equal_postgresql(settings, engine) > ROWS
        else:
            verify()
    delete(engine, prefix)
