"""What a frozen process may leave behind, and what heals it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import sqlalchemy as sa

from processor.compare import Comparison, State
from processor.settings import Settings
from tests.integration.conftest import aegis
from tests.integration.outage import until
from tests.integration.path import Place, compare_stores


def refresh(keys: Iterable[str]) -> None:
    """Let the running processor read these policies again."""
    aegis("refresh", "policies", *keys)


def assert_equal_after_refresh(settings: Settings, engine: sa.Engine, tell: Callable[[str], None]) -> None:
    """Only the documented races of a frozen process have left anything, and a refresh has taken it away."""
    _, different = compare_stores(settings, engine)
    tell(f"{len(different)} records needed a refresh")
    assert _undocumented(different) == {}
    if different:
        refresh(sorted({key for _, _, key in different}))
        until(lambda: compare_stores(settings, engine)[1] == {})


def _undocumented(different: Mapping[Place, Comparison]) -> dict[Place, Comparison]:
    """Not of the store without conditional writes, nor a record made after its row's delete."""
    return {
        place: judged
        for place, judged in different.items()
        if place[0] != "milvus" and judged.state is not State.ORPHAN
    }
