"""Which texts are embedded together.

A batch is padded to its longest text, so mixed lengths waste most of the work: policies have 20 to 256
tokens. Sorted by length, with the padded size capped, mixed texts take half the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


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
