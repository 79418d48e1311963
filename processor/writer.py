"""Brings one store to what a batch wants: read stamps, decide, embed, write by compare-and-set, again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from processor.decide import Wanted, decide
from processor.embed import Embedder
from processor.errors import Unavailable
from processor.stores.base import LostRace, Outcome, Refused, Store, Write
from processor.tables.base import View

MAX_RACES: Final = 10
"""Lost races in a row on one key. One needs two owners at once, which lasts one batch; ten mean that
someone else writes to our records."""


def bring(
    store: Store, view: View, wanted: Mapping[str, Wanted], embedder: Embedder | None = None
) -> dict[str, Refused]:
    """Bring the records of `wanted` (by key) to what it says; return the refused ones by key.

    `embedder` is needed for views that embed a text.

    Raises:
        Unavailable: the store cannot take the batch now. What it took stays, and doing it again is harmless.
        Misconfigured: an operator must act.
    """
    refused: dict[str, Refused] = {}
    open_keys: Sequence[str] = list(wanted)
    model = embedder.model if embedder else None
    for _ in range(MAX_RACES):
        held = store.stamps(view, open_keys)
        decisions = (decide(wanted[key], held.get(key), model) for key in open_keys)
        writes = [write for write in decisions if write is not None]
        outcomes = put_down(store, view, writes, wanted, embedder)
        refused |= {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Refused)}
        open_keys = [key for key, outcome in outcomes.items() if isinstance(outcome, LostRace)]
        if not open_keys:
            return refused
    raise Unavailable(store.name, f"{len(open_keys)} records of {view.name} change under our hands")


def put_down(
    store: Store,
    view: View,
    writes: Sequence[Write],
    wanted: Mapping[str, Wanted],
    embedder: Embedder | None,
) -> dict[str, Outcome]:
    """Give the writes their vectors and apply them; the outcome by key."""
    if not writes:
        return {}
    if view.text and embedder:
        writes = embedder.complete(writes, {write.key: wanted[write.key].text or "" for write in writes})
    return dict(zip((write.key for write in writes), store.apply(view, writes), strict=True))
