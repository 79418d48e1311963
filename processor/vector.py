"""A text's vector as a store keeps it, with what it was made of: unchanged text is never embedded again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """A vector and its origin.

    Attributes:
        values: float32[dim], unit length.
        model: identity of the weights that made it.
        text_hash: `hash_text` of the text it stands for.
    """

    values: NDArray[np.float32]
    model: str
    text_hash: str

    @property
    def checksum(self) -> str:
        """Hash of the values as little-endian bytes; stored beside them, it tells of a change."""
        return _digest(self.values.astype("<f4", copy=False).tobytes())

    def stands_for(self, text: str, model: str) -> bool:
        """Whether embedding `text` with `model` would give this vector again."""
        return self.model == model and self.text_hash == hash_text(text)

    def __eq__(self, other: Any) -> bool:
        return (
            isinstance(other, Vector)
            and (self.model, self.text_hash) == (other.model, other.text_hash)
            and self.values.tobytes() == other.values.tobytes()
        )

    def __hash__(self) -> int:
        return hash((self.model, self.text_hash))


def hash_text(text: str) -> str:
    """32 hexadecimal digits of a text as given to the encoder."""
    return _digest(text.encode())


def _digest(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
