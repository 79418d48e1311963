"""What stores of the model may refuse for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from processor.stores.base import Put, Remove
from tests.model.changes import Move
from tests.model.owner import SharedStore
from tests.refusing import Says, nothing, shows

REFUSALS: Final[Mapping[str, Mapping[str, Says]]] = {
    "vectors": {
        "large": shows("size", 2),
        "small": shows("size", 1),
        "remove": lambda view, write: isinstance(write, Remove),
    },
    "index": {
        "b": shows("name", "b"),
        "a": shows("name", "a"),
        "changed": lambda view, write: isinstance(write, Put) and write.body != {"name": "a", "size": 1},
        "remove": lambda view, write: isinstance(write, Remove),
    },
    "joined": {
        "b": shows("name", "b"),
        "remove": lambda view, write: isinstance(write, Remove),
    },
}
"""Store -> kinds of records that it may refuse."""


def choices(stores: Sequence[SharedStore]) -> list[Move]:
    """A store begins to refuse something, or takes everything again."""
    moves: list[Move] = [("refuse", store.name, what) for store in stores for what in REFUSALS[store.name]]
    return moves + [("accept", store.name) for store in stores if store.refuses is not nothing] * 2
