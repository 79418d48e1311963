"""Embeds a few texts anew, to see whether their vectors are theirs: the one thing that no hash tells."""

from __future__ import annotations

from threading import Lock
from typing import Final

import numpy as np

from processor.embedding.base import Encoder
from processor.embedding.load import load_encoder
from processor.errors import ConfigurationError
from processor.settings import EmbeddingSettings
from processor.vector import Vector

LEAST_LIKENESS: Final = 0.999
"""Cosine of a vector and its text embedded anew: engines differ in the seventh digit, models in the first."""


class Reembedder:
    """The configured encoder, loaded with the first text.

    Attributes:
        missing: why there is none, once it was needed.
    """

    def __init__(self, settings: EmbeddingSettings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._encoder: Encoder | None = None
        self.missing: str | None = None

    def __call__(self, text: str, vector: Vector) -> bool | None:
        """Whether the text gives that vector; None without an encoder."""
        with self._lock:
            if self._encoder is None and self.missing is None:
                try:
                    self._encoder = load_encoder(self._settings)
                except ConfigurationError as error:
                    self.missing = str(error)
            if self._encoder is None:
                return None
            return bool(np.dot(self._encoder.encode([text])[0], vector.values) >= LEAST_LIKENESS)

    def close(self) -> None:
        """Release the encoder."""
        if self._encoder is not None:
            self._encoder.close()
