"""sentence-transformers and ONNX Runtime give one vector, so a store may be filled by either."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from processor.embedding import load_encoder, normalise
from processor.embedding.base import Vectors
from processor.embedding.weights import weights_folder
from processor.settings import EmbeddingSettings
from tests.embedding.texts import hard_texts, mixed_texts

TEXTS = [*mixed_texts(200), *hard_texts()]
TORCH, ONNX = "sentence-transformers", "onnx"


@cache
def embedded(engine: str, max_tokens: int = 256) -> Vectors:
    settings = EmbeddingSettings.model_validate({"engine": engine, "max_tokens": max_tokens})
    return load_encoder(settings).encode(TEXTS)


@pytest.mark.parametrize("max_tokens", [256, 32])
def test_both_engines_make_the_same_vectors(max_tokens: int) -> None:
    expected, found = embedded(TORCH, max_tokens), embedded(ONNX, max_tokens)
    assert np.abs(expected - found).max() < 1e-5
    assert (expected * found).sum(axis=1).min() > 1 - 1e-6


@pytest.mark.parametrize("engine", [TORCH, ONNX])
def test_our_batches_change_nothing_in_what_sentence_transformers_makes(engine: str) -> None:
    assert np.abs(embedded(engine) - stock()).max() < 1e-5


@cache
def stock() -> Vectors:
    """By its own `encode`, with its own batches, limits and order."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(weights_folder(EmbeddingSettings.model_validate({}))), device="cpu")
    vectors: Vectors = model.encode([normalise(text) for text in TEXTS], normalize_embeddings=True)
    return vectors


def test_the_nearest_neighbours_are_the_same() -> None:
    torch, onnx = (vectors @ vectors.T for vectors in (embedded(TORCH), embedded(ONNX)))
    assert np.abs(torch - onnx).max() < 1e-5
    order = np.argsort(-torch, axis=1)
    tenth, eleventh = (np.take_along_axis(torch, order[:, at : at + 1], axis=1) for at in (9, 10))
    clear = (tenth - eleventh > 1e-5).ravel()  # else two texts may change places by rounding
    assert clear.sum() > 150
    nearest = [np.sort(np.argsort(-scores[clear], axis=1)[:, :10]) for scores in (torch, onnx)]
    assert (nearest[0] == nearest[1]).all()
