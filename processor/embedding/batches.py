"""Which texts are embedded together.

A batch is padded to its longest text, so in mixed order much of the work is padding, and the caches overflow.
Sorted by length, with the padded size capped, it is not; docs/embedding.md has the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from processor.embedding.base import Vectors


def token_batches(lengths: Sequence[int], max_texts: int, max_tokens: int) -> Iterator[list[int]]:
    """Indices of texts by batch, each index once, longest texts first.

    Args:
        lengths: tokens of each text, at least 1.
        max_texts: texts in a batch.
        max_tokens: texts in a batch times the longest of them; a single text may exceed it.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) == max_texts or (len(batch) + 1) * lengths[batch[0]] > max_tokens):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def in_order(batches: Iterator[list[int]], run: Callable[[list[int]], Vectors]) -> Vectors:
    """The rows that `run` makes of each batch, put back into the order of the texts: [n, dim]."""
    order: list[int] = []
    parts: list[Vectors] = []
    for batch in batches:
        order += batch
        parts.append(run(batch))
    rows = np.concatenate(parts)
    result = np.empty_like(rows)
    result[order] = rows
    return result
