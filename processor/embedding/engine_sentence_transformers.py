"""sentence-transformers on torch: runs every model of the hub, on a GPU if there is one.

Importing it takes about 10 s and 0.5 GB, so that happens when an encoder is made and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from processor.embedding.base import Vectors
from processor.embedding.batches import in_order, token_batches
from processor.embedding.weights import weights_folder
from processor.errors import ConfigurationError
from processor.settings import EmbeddingSettings


class SentenceTransformersEngine:
    """A model with its own tokenizer, pooling and normalisation."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        try:
            import torch
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar
        except ImportError as error:
            raise ConfigurationError(
                f"EMBEDDING_ENGINE=sentence-transformers, but it is not installed ({error})",
                hint="make torch, or EMBEDDING_ENGINE=onnx: the same vectors without torch",
            ) from None
        disable_progress_bar()
        if settings.threads:
            torch.set_num_threads(settings.threads)
        self._settings = settings
        self._model: Any = SentenceTransformer(str(weights_folder(settings)))
        self._model.max_seq_length = settings.max_tokens

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """See `Engine.vectors`."""
        lengths = [len(ids) for ids in self._token_ids(texts)]
        batches = token_batches(lengths, self._settings.batch_texts, self._settings.batch_tokens)
        return in_order(batches, lambda batch: self._run([texts[index] for index in batch]))

    def _run(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self._model.encode(
            texts, batch_size=len(texts), normalize_embeddings=True, show_progress_bar=False
        )
        return vectors

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        options = {"truncation": True, "max_length": self._settings.max_tokens}
        ids: list[list[int]] = self._model.tokenizer(list(texts), **options)["input_ids"]
        return ids
