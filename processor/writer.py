"""Brings one store to what a batch wants: read stamps, decide, embed, write by compare-and-set, again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from processor import metrics
from processor.decide import Wanted, decide
from processor.embed import Embedder
from processor.errors import Unavailable
from processor.stamp import UNREADABLE
from processor.stores.base import Applied, Held, LostRace, Outcome, Record, Refused, Store, Write
from processor.tables.base import View

MAX_RACES: Final = 10
"""Lost races in a row on one key. One needs two owners at once, which lasts one batch; ten mean that
someone else writes to our records."""


@dataclass
class Brought:
    """What became of a view's records.

    Attributes:
        refused: key -> why the store refuses it.
        previous: records as they were before, None where there was none: those that no change tells of.
    """

    refused: dict[str, Refused] = field(default_factory=dict)
    previous: dict[str, Record | None] = field(default_factory=dict)


def bring(
    store: Store,
    view: View,
    wanted: Mapping[str, Wanted],
    embedder: Embedder | None = None,
    brought: Brought | None = None,
) -> Brought:
    """Bring the records of `wanted` (by key) to what it says.

    `brought` is what an earlier try has left, which lost its store: what was before stands there.

    `embedder` is needed for views that embed a text.

    Raises:
        Unavailable: the store cannot take the batch now. What it took stays, and doing it again is harmless.
        Misconfigured: an operator must act.
    """
    brought = brought or Brought()
    open_keys: Sequence[str] = list(wanted)
    model = embedder.model if embedder else None
    for _ in range(MAX_RACES):
        held = store.stamps(view, open_keys)
        _recall(store, view, {key: wanted[key] for key in open_keys}, held, brought.previous)
        decisions = (decide(wanted[key], held.get(key), model) for key in open_keys)
        writes = [write for write in decisions if write is not None]
        outcomes = put_down(store, view, writes, wanted, embedder)
        brought.refused |= {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Refused)}
        open_keys = [key for key, outcome in outcomes.items() if isinstance(outcome, LostRace)]
        if not open_keys:
            return brought
        for key in open_keys:  # somebody else has changed it
            brought.previous.pop(key, None)
    raise Unavailable(store.name, f"{len(open_keys)} records of {view.name} change under our hands")


def _recall(
    store: Store,
    view: View,
    wanted: Mapping[str, Wanted],
    held: Mapping[str, Held],
    previous: dict[str, Record | None],
) -> None:
    """Read what is about to be replaced, where a later step could not tell what it was."""
    for key in wanted.keys() - held.keys():
        previous.setdefault(key, None)
    keys = [key for key, found in held.items() if wanted[key].recall or found.stamp.is_held_back]
    if unknown := [key for key in keys if key not in previous]:
        previous |= recall(store, view, {key: held[key] for key in unknown})


def recall(store: Store, view: View, held: Mapping[str, Held]) -> dict[str, Record]:
    """Whole records, of those that are still as `held` says and that could be written again."""
    return {
        key: record
        for key, record in store.read(view, list(held)).items()
        if record.stamp == held[key].stamp != UNREADABLE and (view.text is None or record.vector is not None)
    }


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
    outcomes = dict(zip((write.key for write in writes), store.apply(view, writes), strict=True))
    metrics.wrote(store.name, sum(isinstance(outcome, Applied) for outcome in outcomes.values()))
    return outcomes
