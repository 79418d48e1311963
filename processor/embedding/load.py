"""From settings to an encoder. Only the chosen engine's libraries are imported, and only here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from processor.embedding.base import Encoder, Engine, Vectors, normalise
from processor.errors import ConfigurationError
from processor.settings import EmbeddingSettings

READ_PER_TOKEN: Final = 256
"""Characters that are read for each token of EMBEDDING_MAX_TOKENS; it stands for up to 100 of them, or for a
longer word. Tokenizers cut a text only when all of it is in pieces: 7 MB take BERT's 5 s and 0.5 GB."""


def load_encoder(settings: EmbeddingSettings) -> Encoder:
    """Load the weights (0.5 to 15 s) and see that they give vectors as configured.

    Raises:
        ConfigurationError: the engine is not installed, the weights are not found or are not the model's.
    """
    try:
        engine = _engine(settings)
    except ConfigurationError:
        raise
    except Exception as error:  # each library has its own for a damaged file
        raise ConfigurationError(
            f"EMBEDDING_ENGINE={settings.engine} cannot load {settings.model_name}: {error}",
            hint="correct EMBEDDING_PATH or EMBEDDING_MODEL; `make setup` installs the default model",
        ) from error
    encoder = CheckedEncoder(
        engine, settings.model_id, settings.vector_dim, settings.max_tokens * READ_PER_TOKEN
    )
    encoder.encode(["정책"])
    return encoder


def _engine(settings: EmbeddingSettings) -> Engine:
    if settings.engine == "multilingual":
        from processor.embedding.engine_multilingual import MultilingualEngine

        return MultilingualEngine(settings)
    if settings.engine == "onnx":
        from processor.embedding.engine_onnx import OnnxEngine

        return OnnxEngine(settings)
    from processor.embedding.engine_sentence_transformers import SentenceTransformersEngine

    return SentenceTransformersEngine(settings)


class CheckedEncoder:
    """What holds whichever engine runs: texts are normalised before it, vectors checked behind it."""

    def __init__(self, engine: Engine, model: str, dim: int, longest: int | None = None) -> None:
        """`longest`: characters of a text that the engine gets."""
        self.model = model
        self.dim = dim
        self._longest = longest
        self._engine: Engine | None = engine

    def encode(self, texts: Sequence[str]) -> Vectors:
        """See `Encoder.encode`."""
        if self._engine is None:
            raise ValueError("the encoder is closed")
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        vectors = self._engine.vectors([normalise(text)[: self._longest] for text in texts])
        self._check(vectors, len(texts))
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def close(self) -> None:
        """Release the weights."""
        self._engine = None

    def _check(self, vectors: Vectors, count: int) -> None:
        if vectors.shape != (count, self.dim):
            raise ConfigurationError(
                f"{self.model} makes vectors of {vectors.shape[-1]} components, {self.dim} are configured",
                hint="correct EMBEDDING_DIM, EMBEDDING_MODEL or EMBEDDING_PATH",
            )
        # a NaN or infinite component makes the length NaN or infinite, which no comparison lets pass
        if not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3).all():
            raise ConfigurationError(
                f"{self.model} makes vectors that are not finite or not unit: its weights are damaged",
                hint="reinstall the weights, or correct EMBEDDING_PATH",
            )
