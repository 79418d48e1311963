"""What the processor needs of an embedding model, and what each engine has to offer for it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Turns texts into unit vectors; used by one thread at a time.

    Attributes:
        model: identity of the weights and of how much of a text they read; equal for all engines that give
            the same vectors. Only vectors of one model may be compared.
        dim: components of a vector.
    """

    model: str
    dim: int

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of `texts` in their order: [n, dim], unit length, C-contiguous, finite.

        Any text will do, the empty one too. What lies behind the first EMBEDDING_MAX_TOKENS is not read, nor
        what lies behind 256 times as many characters.

        Raises:
            ConfigurationError: the model gives something else; it is not the one that was configured.
        """
        ...

    def close(self) -> None:
        """Release the weights."""
        ...


class Engine(Protocol):
    """A way to run a model. What holds for all of them is done around it, in load.py."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """[n, dim] of normalised texts, n >= 1."""
        ...


def normalise(text: str) -> str:
    """The text as all engines see it: NFC, so that Hangul typed on a Mac (NFD) gives the same vector."""
    return unicodedata.normalize("NFC", text)
