"""Texts are put into batches of like length and come out in their own order."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processor.embedding.batches import in_order, token_batches

LENGTHS = st.lists(st.integers(1, 512), max_size=200)
TEXTS = st.integers(1, 64)
TOKENS = st.integers(1, 2_048)


@given(LENGTHS, TEXTS, TOKENS)
def test_every_text_is_in_exactly_one_batch(lengths: list[int], texts: int, tokens: int) -> None:
    batches = list(token_batches(lengths, texts, tokens))
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(batches)


@given(LENGTHS, TEXTS, TOKENS)
def test_no_batch_exceeds_its_limits_but_for_a_single_long_text(
    lengths: list[int], texts: int, tokens: int
) -> None:
    for batch in token_batches(lengths, texts, tokens):
        padded = len(batch) * max(lengths[index] for index in batch)
        assert len(batch) <= texts
        assert padded <= tokens or len(batch) == 1


@given(LENGTHS, TEXTS, TOKENS)
def test_no_two_neighbouring_batches_would_have_fitted_into_one(
    lengths: list[int], texts: int, tokens: int
) -> None:
    batches = list(token_batches(lengths, texts, tokens))
    for batch, following in pairwise(batches):
        size = len(batch) + 1
        assert size > texts or size * max(lengths[index] for index in (*batch, following[0])) > tokens


@given(st.lists(st.integers(1, 512), min_size=1, max_size=200), TEXTS, TOKENS)
def test_the_order_of_the_texts_is_restored(lengths: list[int], texts: int, tokens: int) -> None:
    def run(batch: list[int]) -> np.ndarray:
        return np.array([[index, lengths[index]] for index in batch], dtype=np.float32)

    rows = in_order(token_batches(lengths, texts, tokens), run)
    assert rows.tolist() == [[index, length] for index, length in enumerate(lengths)]
