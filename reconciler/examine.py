"""How a record is compared with its row: by its fingerprint, or field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from processor.compare import State, compare
from processor.rows import Row
from processor.stamp import Stamp
from processor.stores.base import Record, Store
from processor.tables.base import Projection, View
from processor.vector import Vector
from reconciler.shard import Shard
from reconciler.source import Look, SourceReader

READ: Final = 200
"""Whole records read at once: with vectors and texts of a few kB, some megabytes."""
UNIT_TOLERANCE: Final = 1e-3
MAX_SAMPLE: Final = 64
"""Texts of a view that are embedded anew at most: PostgreSQL may not know how many rows there are."""
Keys = Sequence[Mapping[str, Any]]
Reembed = Callable[[str, Vector], bool | None]
"""Whether a text gives that vector; None: there is nobody to ask."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A record beside its row; `stamp` None: there is none. `unknown`: nobody can tell if it is equal."""

    stamp: Stamp | None
    equal: bool
    unknown: bool = False


NOTHING: Final = Examined(None, equal=False)


class Examiner(Protocol):
    """One way to compare the records of a view with their rows."""

    deep: bool
    batch: int
    """Suspects that share a fence."""

    def look(self, reader: SourceReader, keys: Keys) -> Look:
        """The rows as they are now."""
        ...

    def examine(self, look: Look, keys: Sequence[str]) -> dict[str, Examined]:
        """The records as they are now, beside `look`; of keys that have one."""
        ...


class ByFingerprint:
    """Sees whatever the processor did wrong: it writes contents and fingerprint together."""

    deep = False
    batch = 1_000

    def __init__(self, projection: Projection, view: View, store: Store) -> None:
        self._projection, self._view, self._store = projection, view, store

    def look(self, reader: SourceReader, keys: Keys) -> Look:
        """Fingerprints, computed by PostgreSQL."""
        return reader.look(self._projection, self._view, keys)

    def examine(self, look: Look, keys: Sequence[str]) -> dict[str, Examined]:
        """Stamps. Of a record that a store's refusal holds back, the fingerprint of what it shows."""
        held = self._store.stamps(self._view, keys)
        return {
            key: Examined(record.stamp, _fp(look, key) == record.stamp.contents)
            for key, record in held.items()
        }


class ByField:
    """Sees also what somebody else changed in a record beside its stamp."""

    deep = True
    batch = READ

    def __init__(
        self, projection: Projection, view: View, store: Store, model: str, reembed: Reembed
    ) -> None:
        self._projection, self._view, self._store = projection, view, store
        self._model, self._reembed = model, reembed
        self._left = MAX_SAMPLE

    def look(self, reader: SourceReader, keys: Keys) -> Look:
        """Whole rows."""
        return reader.look_deep(self._projection, self._view, keys)

    def examine(self, look: Look, keys: Sequence[str]) -> dict[str, Examined]:
        """Whole records; of those that are right so far, the text is embedded anew."""
        return {
            key: self._examine(look.rows.get(key), record)
            for key, record in self._store.read(self._view, keys).items()
        }

    def suspects(self, rows: Mapping[str, Row], sample: Shard) -> tuple[int, list[str]]:
        """How many of these rows, which readers are to see, have a record, and whose is not as it should be.

        Of keys in `sample`, texts are embedded anew.
        """
        records = self._store.read(self._view, list(rows))
        suspects = [] if self._view.optional else [key for key in rows if key not in records]
        for key, record in records.items():
            right = self._is_right(rows[key], record)
            if right and self._left and sample.takes(key):
                self._left -= 1
                right = self._stands_for(rows[key], record) is not False
            if not right:
                suspects.append(key)
        return len(records), suspects

    def _examine(self, row: Row | None, record: Record) -> Examined:
        if not self._is_right(row, record) or row is None:
            return Examined(record.stamp, equal=False)
        told = self._stands_for(row, record)
        return Examined(record.stamp, equal=told is not False, unknown=told is None)

    def _is_right(self, row: Row | None, record: Record) -> bool:
        """Whether every field is as the row says, and the vector is one that was made of its text."""
        if compare(self._projection, self._view, row, record, self._model).state is not State.OK:
            return False
        if self._view.text is None or record.vector is None:
            return self._view.text is None
        return bool(np.isclose(np.linalg.norm(record.vector.values), 1, atol=UNIT_TOLERANCE))  # and a number

    def _stands_for(self, row: Row, record: Record) -> bool | None:
        text = self._projection.text(self._view, row)
        if text is None or record.vector is None:
            return True
        return self._reembed(text, record.vector)


def _fp(look: Look, key: str) -> str | None:
    version = look.versions.get(key)
    return None if version is None else version.fp
