"""Texts a second of each engine: `python -m tests.embedding.measure`, on a machine that does nothing else.

The ways take turns, fifty texts at a time, so a busy machine slows them alike; read the ratios. CPU seconds
are those of all threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from unittest.mock import patch

from processor.embedding import Encoder, engine_onnx, load_encoder
from processor.embedding.base import Vectors
from processor.settings import EmbeddingSettings
from tests.embedding.texts import mixed_texts

TEXTS: Final = 500
SLICE: Final = 50
Way = Callable[[Sequence[str]], Vectors]


def plain_batches(lengths: Sequence[int], max_texts: int, max_tokens: int) -> Iterator[list[int]]:
    """What is done without `token_batches`: 64 texts as they come."""
    for start in range(0, len(lengths), max_texts):
        yield list(range(start, min(start + max_texts, len(lengths))))


def in_plain_order(encoder: Encoder) -> Way:
    """The ONNX engine with its texts as they come."""

    def encode(texts: Sequence[str]) -> Vectors:
        with patch.object(engine_onnx, "token_batches", plain_batches):
            return encoder.encode(texts)

    return encode


def main() -> None:
    """Print start-up seconds, then texts a second."""
    ways: dict[str, Way] = {}
    for name in ("multilingual", "onnx", "sentence-transformers"):
        started = time.perf_counter()
        encoder = load_encoder(EmbeddingSettings.model_validate({"engine": name}))
        print(f"{name}: start {time.perf_counter() - started:.1f} s")
        ways[name] = encoder.encode
        if name == "onnx":
            ways["onnx, plain order"] = in_plain_order(encoder)
    texts = mixed_texts(TEXTS)
    wall, cpu = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0)
    for at in range(0, TEXTS, SLICE):
        for name, encode in ways.items():
            at_wall, at_cpu = time.perf_counter(), time.process_time()
            encode(texts[at : at + SLICE])
            wall[name] += time.perf_counter() - at_wall
            cpu[name] += time.process_time() - at_cpu
    for name in ways:
        faster = wall["onnx"] / wall[name], cpu["onnx"] / cpu[name]
        print(f"{name}: {TEXTS / wall[name]:.0f} texts/s, {faster[0]:.2f} x onnx; by CPU {faster[1]:.2f} x")


if __name__ == "__main__":
    main()
