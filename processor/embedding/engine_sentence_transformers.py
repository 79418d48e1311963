"""sentence-transformers on torch: runs every model of the hub, on a GPU if there is one.

Importing it takes about 10 s and 0.5 GB, so that happens when an encoder is made and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from processor.embedding.base import Vectors
from processor.embedding.batches import token_batches
from processor.embedding.weights import weights_folder
from processor.errors import ConfigurationError
from processor.settings import EmbeddingSettings


class SentenceTransformersEngine:
    """A model with its own tokenizer, pooling and normalisation."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        try:
            import torch
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise ConfigurationError(
                f"EMBEDDING_ENGINE=sentence-transformers, but it is not installed ({error})",
                hint="make torch, or EMBEDDING_ENGINE=onnx: the same vectors without torch",
            ) from None
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self._settings = settings
        self._model: Any = SentenceTransformer(str(weights_folder(settings)))
        self._model.max_seq_length = settings.max_tokens

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """See `Engine.vectors`."""
        result = np.empty((len(texts), self._model.get_embedding_dimension()), dtype=np.float32)
        lengths = [len(ids) for ids in self._token_ids(texts)]
        for batch in token_batches(lengths, self._settings.batch_texts, self._settings.batch_tokens):
            result[batch] = self._model.encode(
                [texts[index] for index in batch],
                batch_size=len(batch),
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return result

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        options = {"truncation": True, "max_length": self._settings.max_tokens}
        ids: list[list[int]] = self._model.tokenizer(list(texts), **options)["input_ids"]
        return ids
