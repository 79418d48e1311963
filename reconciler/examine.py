"""How a record is compared with its row: by its fingerprint, or field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from processor.compare import State, compare
from processor.embedding.base import Encoder
from processor.rows import Row
from processor.stamp import Stamp
from processor.stores.base import Record, Store
from processor.tables.base import Projection, View
from reconciler.source import Look, SourceReader

READ: Final = 200
"""Whole records read at once: with vectors and long texts, a few megabytes."""
UNIT_TOLERANCE: Final = 1e-3
LEAST_LIKENESS: Final = 0.999
"""Cosine of a vector and its text embedded anew: engines differ in the seventh digit, other weights in the
first."""
Keys = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Examined:
    """A record beside its row; `stamp` None: there is no record."""

    stamp: Stamp | None
    equal: bool


NOTHING: Final = Examined(None, equal=False)


class Examiner(Protocol):
    """One way to compare the records of a view with their rows."""

    deep: bool
    batch: int
    """Suspects that share a fence, which takes a second or two."""

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
    """Sees also what somebody else changed in a record beside its stamp.

    `encoder`: texts of `sampled` keys are embedded anew, and compared with their vectors.
    """

    deep = True
    batch = READ

    def __init__(
        self, projection: Projection, view: View, store: Store, model: str, encoder: Encoder | None = None
    ) -> None:
        self._projection, self._view, self._store = projection, view, store
        self._model, self._encoder = model, encoder
        self.sampled: set[str] = set()

    def look(self, reader: SourceReader, keys: Keys) -> Look:
        """Whole rows."""
        return reader.look_deep(self._projection, self._view, keys)

    def examine(self, look: Look, keys: Sequence[str]) -> dict[str, Examined]:
        """Whole records."""
        return {
            key: Examined(record.stamp, self.is_right(key, look.rows.get(key), record))
            for start in range(0, len(keys), READ)
            for key, record in self._store.read(self._view, keys[start : start + READ]).items()
        }

    def suspects(self, rows: Mapping[str, Row]) -> list[str]:
        """Keys of rows that readers are to see, whose record is not as it should be."""
        records = self._store.read(self._view, list(rows))
        return [
            key
            for key, row in rows.items()
            if not (self._view.optional if key not in records else self.is_right(key, row, records[key]))
        ]

    def is_right(self, key: str, row: Row | None, record: Record) -> bool:
        """Whether every field, and the vector, is as the row says."""
        judged = compare(self._projection, self._view, row, record, self._model)
        if judged.state is not State.OK:
            return False
        vector = record.vector
        if self._view.text is None or row is None or vector is None:
            return self._view.text is None
        if not np.isclose(np.linalg.norm(vector.values), 1, atol=UNIT_TOLERANCE):  # nor a number
            return False
        return key not in self.sampled or self._stands_for(row, vector.values)

    def _stands_for(self, row: Row, values: Any) -> bool:
        text = self._projection.text(self._view, row)
        if self._encoder is None or text is None:
            return True
        return bool(np.dot(self._encoder.encode([text])[0], values) >= LEAST_LIKENESS)


def _fp(look: Look, key: str) -> str | None:
    version = look.versions.get(key)
    return None if version is None else version.fp
