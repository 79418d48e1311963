"""sentence-transformers and ONNX Runtime give one vector, so a store may be filled by either."""

from __future__ import annotations

import numpy as np
import pytest

from processor.embedding import Encoder, load_encoder
from processor.settings import EmbeddingSettings
from tests.embedding.texts import hard_texts, mixed_texts

TEXTS = [*mixed_texts(240), *hard_texts()]


def encoder(engine: str, **settings: object) -> Encoder:
    return load_encoder(EmbeddingSettings.model_validate({"engine": engine} | settings))


@pytest.mark.parametrize("max_tokens", [256, 64, 512])
def test_both_engines_make_the_same_vectors(max_tokens: int) -> None:
    torch = encoder("sentence-transformers", max_tokens=max_tokens)
    onnx = encoder("onnx", max_tokens=max_tokens)
    assert (torch.model, torch.dim) == (onnx.model, onnx.dim)
    expected, found = torch.encode(TEXTS), onnx.encode(TEXTS)
    assert np.abs(expected - found).max() < 1e-5
    assert (expected * found).sum(axis=1).min() > 1 - 1e-6


def test_our_batches_change_nothing_in_what_sentence_transformers_makes() -> None:
    """Against its own `encode`, with its own batches, limits and order."""
    from sentence_transformers import SentenceTransformer

    from processor.embedding.base import normalise
    from processor.embedding.weights import weights_folder

    settings = EmbeddingSettings.model_validate({"engine": "sentence-transformers"})
    stock = SentenceTransformer(str(weights_folder(settings)), device="cpu")
    expected = stock.encode([normalise(text) for text in TEXTS], normalize_embeddings=True)
    for engine in ("sentence-transformers", "onnx"):
        assert np.abs(encoder(engine).encode(TEXTS) - expected).max() < 1e-5


def test_the_nearest_neighbours_are_the_same() -> None:
    texts = mixed_texts(240)
    torch, onnx = (encoder(engine).encode(texts) for engine in ("sentence-transformers", "onnx"))
    nearest = [(vectors @ vectors.T).argsort(axis=1)[:, -10:] for vectors in (torch, onnx)]
    assert [set(row) for row in nearest[0]] == [set(row) for row in nearest[1]]
