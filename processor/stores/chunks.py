"""Cuts what is to be sent into requests that a server takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(
    items: Sequence[T], size: Callable[[T], int], most_bytes: int, most_items: int
) -> Iterator[list[T]]:
    """Lists of at most `most_items` items and `most_bytes` bytes, in order; a bigger item goes alone.

    Args:
        items: all of them.
        size: bytes of an item.
        most_bytes: of a list.
        most_items: of a list.
    """
    chunk: list[T] = []
    total = 0
    for item in items:
        total += size(item)
        if chunk and (len(chunk) == most_items or total > most_bytes):
            yield chunk
            chunk, total = [], size(item)
        chunk.append(item)
    if chunk:
        yield chunk
