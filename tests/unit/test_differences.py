"""What a page shows of a difference, and of which tables nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest

from processor.rows import Row
from processor.snapshot import Snapshot
from processor.stamp import Stamp
from processor.stores.base import Put
from processor.stores.memory import MemoryStore
from processor.tables import projection_of
from processor.tables.base import Projection, View
from reconciler.differences import explain
from reconciler.source import Look, Source
from tests.unit.samples import row

USER = {
    "id": "0b9b5c1e-0000-4000-8000-000000000001",
    "department": "Engineering",
    "access_level": 1,
    "is_active": True,
    "created_at": 0,
    "updated_at": 0,
}


class OneRow:
    """PostgreSQL with one row."""

    def __init__(self, key: str, row: Row) -> None:
        self._look = Look({}, Snapshot(1, 1, frozenset(), 1), 0, {key: row})

    @contextmanager
    def looking(self) -> Iterator[OneRow]:
        yield self

    def look_deep(self, projection: Projection, view: View, keys: Sequence[Mapping[str, Any]]) -> Look:
        return self._look


@pytest.mark.parametrize(
    ("table", "store", "key", "values", "field", "shown"),
    [
        ("policies", "elasticsearch", "POL-1", row("POL-1"), "title", True),
        # of this table some columns must not leave the database: somebody may have put one into another field
        ("users", "redis", USER["id"], USER, "department", False),
    ],
)
def test_values_are_shown_but_of_personal_tables(
    table: str, store: str, key: str, values: Row, field: str, shown: bool
) -> None:
    projection = projection_of(table)
    view, memory = projection.view(store), MemoryStore()
    memory.ensure(view)
    body = {**projection.body(view, values), field: "비밀"}
    memory.apply(view, [Put(key, None, Stamp(1, 1, 1, projection.fingerprint(view, values)), body)])

    found = explain(cast("Source", OneRow(key, values)), memory, projection, view, [key], "model")

    (difference,) = found[key]
    assert difference.field == field
    assert (difference.found == "비밀") == shown
    assert (difference.expected is not None) == shown
