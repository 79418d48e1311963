"""Brings one store to what a batch wants: read stamps, decide, embed, write by compare-and-set, again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from processor.decide import Wanted, decide
from processor.embed import Embedder
from processor.errors import Unavailable
from processor.stamp import UNREADABLE
from processor.stores.base import Held, LostRace, Outcome, Record, Refused, Store, Write
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

    def forget(self, keys: Sequence[str]) -> None:
        """What was read of them: they have changed since."""
        if self.previous:
            for key in keys:
                self.previous.pop(key, None)


def bring(
    store: Store, view: View, wanted: Mapping[str, Wanted], embedder: Embedder | None = None
) -> Brought:
    """Bring the records of `wanted` (by key) to what it says.

    `embedder` is needed for views that embed a text.

    Raises:
        Unavailable: the store cannot take the batch now. What it took stays, and doing it again is harmless.
        Misconfigured: an operator must act.
    """
    brought = Brought()
    open_keys: Sequence[str] = list(wanted)
    model = embedder.model if embedder else None
    for _ in range(MAX_RACES):
        held = store.stamps(view, open_keys)
        brought.forget(open_keys)
        brought.previous |= _recall(store, view, {key: wanted[key] for key in open_keys}, held)
        decisions = (decide(wanted[key], held.get(key), model) for key in open_keys)
        writes = [write for write in decisions if write is not None]
        outcomes = put_down(store, view, writes, wanted, embedder)
        brought.refused |= {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Refused)}
        open_keys = [key for key, outcome in outcomes.items() if isinstance(outcome, LostRace)]
        if not open_keys:
            return brought
    raise Unavailable(store.name, f"{len(open_keys)} records of {view.name} change under our hands")


def _recall(
    store: Store, view: View, wanted: Mapping[str, Wanted], held: Mapping[str, Held]
) -> dict[str, Record | None]:
    """Read what is about to be replaced, where a later step could not tell what it was."""
    keys = [key for key, found in held.items() if wanted[key].recall or found.stamp.is_held_back]
    records: dict[str, Record | None] = dict.fromkeys(wanted.keys() - held.keys())
    if keys:
        records |= recall(store, view, {key: held[key] for key in keys})
    return records


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
    return dict(zip((write.key for write in writes), store.apply(view, writes), strict=True))
