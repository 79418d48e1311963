"""Gives the writes of a batch their vectors: a text that did not change keeps the one that is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from processor.embedding.base import Encoder
from processor.stores.base import Put, Write
from processor.vector import Vector, hash_text

KEPT: Final = 4_096
"""Vectors kept at hand, by text: a batch that is tried again, or texts that many rows share, cost nothing.
6 MB at 384 dimensions."""


class Embedder:
    """One encoder, and what it made lately. Used by one thread at a time."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._recent: LRUCache[str, NDArray[np.float32]] = LRUCache(KEPT)
        self.encoded = 0
        """Texts that were really encoded so far."""

    @property
    def model(self) -> str:
        """Identity of the weights."""
        return self._encoder.model

    def complete(self, writes: Sequence[Write], texts: Mapping[str, str]) -> list[Write]:
        """The same writes, every Put with the vector of its key's text, unless it has one."""
        bare = [write for write in writes if isinstance(write, Put) and write.vector is None]
        hashes = {write.key: hash_text(texts[write.key]) for write in bare}
        stored = {
            write.key: write.expected.vector
            for write in bare
            if write.expected is not None and write.expected.vector is not None
            if write.expected.vector.stands_for(texts[write.key], self.model)
        }
        missing = {digest: texts[key] for key, digest in hashes.items() if key not in stored}
        made = self._encode(missing)
        return [
            replace(write, vector=stored.get(write.key) or made[hashes[write.key]])
            if isinstance(write, Put) and write.vector is None
            else write
            for write in writes
        ]

    def _encode(self, texts: Mapping[str, str]) -> dict[str, Vector]:
        """Vectors by text hash."""
        values = {digest: self._recent[digest] for digest in texts if digest in self._recent}
        new = [digest for digest in texts if digest not in values]
        if new:
            for digest, row in zip(new, self._encoder.encode([texts[d] for d in new]), strict=True):
                # a copy of its own: a view would keep the whole batch
                values[digest] = self._recent[digest] = row.copy()
            self.encoded += len(new)
        return {digest: Vector(row, self.model, digest) for digest, row in values.items()}

    def close(self) -> None:
        """Release the encoder."""
        self._encoder.close()
