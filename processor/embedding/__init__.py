"""Texts into vectors, on a row's way into the vector store: `load_encoder(settings).encode(texts)`."""

from __future__ import annotations

from processor.embedding.base import Encoder, normalise
from processor.embedding.load import load_encoder

__all__ = ["Encoder", "load_encoder", "normalise"]
