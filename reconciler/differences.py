"""What differs between a row and its record, field by field, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from processor.compare import compare
from processor.stores.base import Store
from processor.tables.base import Projection, View
from reconciler.source import Source, key_values

AT_ONCE: Final = 10
"""Rows and records that are read together, whole."""
KEPT: Final = 4_000_000
"""Characters of values that are kept of a table and store: a row may have seven million."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: as PostgreSQL has it, and as the store shows it; None where values must not be shown."""

    field: str
    expected: str | None
    found: str | None


Place = tuple[str, str, str]
"""Table, store, key."""
Differences = Mapping[Place, Sequence[Difference]]


def explain(
    source: Source, store: Store, projection: Projection, view: View, keys: Sequence[str], model: str
) -> dict[str, list[Difference]]:
    """Differences by key, of rows that have a record; as they are now, without a fence.

    They end early where values are large.

    Of tables whose publication has a list of columns (they are personal, and so is the identity without the
    old row) no values are shown: somebody may have written what must not leave into another field.

    Raises:
        Unavailable, Misconfigured, SourceError: a server cannot be read.
    """
    found: dict[str, list[Difference]] = {}
    kept = 0
    for start in range(0, len(keys), AT_ONCE):
        values = (key_values(projection, key) for key in keys[start : start + AT_ONCE])
        with source.looking() as reader:
            rows = reader.look_deep(projection, view, [one for one in values if one is not None]).rows
        for key, record in store.read(view, list(rows)).items():
            pairs = compare(projection, view, rows[key], record, model).differences
            found[key] = [
                _difference(name, *pair, hidden=not projection.has_before) for name, pair in pairs.items()
            ]
            kept += sum(len(one.expected or "") + len(one.found or "") for one in found[key])
        if kept > KEPT:
            break
    return found


def _difference(name: str, expected: Any, found: Any, hidden: bool) -> Difference:
    return Difference(
        name, *(None if hidden else "" if value is None else str(value) for value in (expected, found))
    )
