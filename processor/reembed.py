"""Rebuilds the vectors of a view for another model, beside the old collection and while the processor runs.

Every record is copied with its stamp; only the vector is new. Its text comes from PostgreSQL and is taken
only when the row is the one that the record shows: its fingerprint says so, or at least its text is the same.
So text, fields and stamp belong together, whatever changes meanwhile. A record whose text has a change on its
way is left: for the next pass, or for that change. A row that is gone or hidden is not copied: its removal is
on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from processor.embed import Embedder
from processor.errors import Rejected
from processor.keys import parse_key_text
from processor.rows import Row
from processor.source import read_rows
from processor.stamp import Stamp
from processor.stores.base import Put, Record, Refused, Remove, Store, Write
from processor.tables.base import Projection, View
from processor.vector import hash_text

BATCH: Final = 256
Scan = Iterator[tuple[str, Stamp]]


@dataclass(frozen=True)
class Copied:
    """What one pass did: records written, removed, and left for the next pass."""

    written: int = 0
    removed: int = 0
    left: int = 0


@dataclass(frozen=True)
class Rebuild:
    """One view's way from the store of the old model to that of the new one."""

    engine: sa.Engine
    projection: Projection
    view: View
    old: Store
    new: Store
    embedder: Embedder

    def copy(self, progress: Callable[[int], None] = lambda _: None) -> Copied:
        """One pass: make the new collection equal to the old one as it is now; `progress(records looked at)`.

        Raises:
            AegisError: a server does not answer, or refuses; what was copied stays, and the next run goes on.
        """
        written = removed = left = 0
        for looked_at, keys in _batches(merge(self.old.scan(self.view), self.new.scan(self.view))):
            done = self._copy_batch(keys)
            written, removed, left = written + done.written, removed + done.removed, left + done.left
            progress(looked_at)
        return Copied(written, removed, left)

    def _copy_batch(self, keys: Sequence[str]) -> Copied:
        there = self.new.stamps(self.view, keys)
        records = self.old.read(self.view, keys)
        rows = self._rows(records)
        bodies = {key: body for key, row in rows.items() if (body := self._body(row, records[key]))}
        removes: list[Write] = [Remove(key, held) for key, held in there.items() if key not in rows]
        puts: list[Write] = [
            Put(key, there.get(key), records[key].stamp, body) for key, body in bodies.items()
        ]
        texts = {key: self.projection.text(self.view, rows[key]) or "" for key in bodies}
        writes = removes + self.embedder.complete(puts, texts)
        for write, outcome in zip(writes, self.new.apply(self.view, writes), strict=True):
            if isinstance(outcome, Refused):
                raise Rejected(self.new.name, f"{self.view.name} {write.key}: {outcome.reason}")
        return Copied(len(puts), len(removes), len(rows) - len(puts))

    def _rows(self, records: Mapping[str, Record]) -> dict[str, Row]:
        """The rows of these records that readers are to see."""
        keys = [parse_key_text(self.projection.key_columns, key) for key in records]
        with self.engine.connect() as connection:
            rows = read_rows(connection, self.projection, keys)
        return {key: row for key, row in rows.items() if self.projection.predicate(row)}

    def _body(self, row: Row, record: Record) -> Mapping[str, Any] | None:
        """The fields to write, or None when the row's text is another than the record's."""
        if self.projection.fingerprint(self.view, row) == record.stamp.contents:
            return self.projection.body(self.view, row)
        text = self.projection.text(self.view, row) or ""
        same_text = record.vector is not None and record.vector.text_hash == hash_text(text)
        return record.body if same_text else None


def merge(old: Scan, new: Scan) -> Iterator[tuple[str, bool]]:
    """Every key of two scans in byte order, and whether they differ there: in one only, or other stamps."""
    left, right = next(old, None), next(new, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0].encode() < right[0].encode()):
            assert left is not None
            yield left[0], True
            left = next(old, None)
        elif left is None or right[0].encode() < left[0].encode():
            yield right[0], True
            right = next(new, None)
        else:
            yield left[0], left != right
            left, right = next(old, None), next(new, None)


def _batches(keys: Iterator[tuple[str, bool]]) -> Iterator[tuple[int, list[str]]]:
    """(records looked at, keys that differ)."""
    batch: list[str] = []
    count = 0
    for count, (key, differs) in enumerate(keys, start=1):
        if differs:
            batch.append(key)
        if len(batch) == BATCH:
            yield count, batch
            batch = []
    if batch:
        yield count, batch
