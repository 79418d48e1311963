"""What to write, given what a change wants and what a store holds: pure, and the heart of every guarantee."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from processor.change import Change, Op
from processor.refresh import Refresh
from processor.rows import Row
from processor.snapshot import Snapshot
from processor.stamp import UNREADABLE, Stamp, make_version, split_version
from processor.stores.base import NOTHING, Held, Put, Remove, Restamp, Write
from processor.tables.base import Projection, View
from processor.vector import Vector


@dataclass(frozen=True, slots=True)
class Wanted:
    """How one store is to show one row.

    Attributes:
        body: the view's fields; None means not at all.
        direct: written whatever version the record has, as a row of the initial snapshot is. All that the
            stream brings after it is newer; all that it replaces comes from before.
        text: what the view embeds, if it does; else its vector may be given.
        invalidates: cache entries that its images before and after have made stale.
        recall: nothing tells what the record was before: it is to be read before it is replaced.
        keep: leave what is there, but under this stamp, as held back; of the image that it names, if any.
        filled: readers make absent records themselves: what is gone is told also where nothing was.
    """

    key: str
    stamp: Stamp
    body: Mapping[str, Any] | None
    direct: bool = False
    text: str | None = None
    invalidates: frozenset[str] = NOTHING
    vector: Vector | None = None
    recall: bool = False
    keep: bool = False
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Now:
    """When rows were read again: the log's end after the read, the read's snapshot, and our epoch."""

    epoch: int
    end: int
    snapshot: Snapshot

    def is_impossible(self, stamp: Stamp) -> bool:
        """Whether no change can have left that stamp: it lies beyond the log, or beyond all transactions.

        Of a transaction number that has been used before, 2**31 transactions ago or more, this says so, too.
        """
        return self._is_beyond(stamp) or (stamp.xid is not None and self.snapshot.precedes(stamp.xid))

    def is_unheard_of(self, stamp: Stamp) -> bool:
        """The same, but any number that was ever given is possible: of a record that rested for years."""
        return self._is_beyond(stamp) or (stamp.xid is not None and stamp.xid >= self.snapshot.following)

    def _is_beyond(self, stamp: Stamp) -> bool:
        epoch, position = split_version(stamp.version)
        return epoch > self.epoch or (epoch == self.epoch and position > self.end) or stamp.seen > self.end


def version_of(change: Change, epoch: int) -> int:
    """The version that guards this change."""
    return make_version(epoch, change.position)


def stamp_of(change: Change, epoch: int, fp: str = "") -> Stamp:
    """What a record bears that shows this change; `fp` is that of its view."""
    seen = change.source.farthest if change.op is Op.READ else change.position
    return Stamp(version_of(change, epoch), seen, change.xid, fp)


def collapse(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """By key, its changes in the order of their positions: the last one counts.

    A row of the initial snapshot replaces what stands before it, as in the store.

    Not simply in their own order: after a crash the connector emits again what it had emitted, so a batch can
    hold a newer change before an older one.
    """
    found: dict[str, list[Change]] = {}
    for change in changes:
        history = found.setdefault(change.key, [])
        if change.of_initial_snapshot:
            history.clear()
        if history and change.position < history[-1].position:
            insort(history, change, key=lambda other: other.position)
        else:
            history.append(change)
    return found


def want(
    projection: Projection, view: View, change: Change, epoch: int, invalidates: frozenset[str] = NOTHING
) -> Wanted:
    """Project a change into a view.

    Raises:
        RowRejected: a value cannot be held by a store; names the field.
    """
    row = change.after
    shown = change.op is not Op.DELETE and row is not None and projection.predicate(row)
    return Wanted(
        key=change.key,
        stamp=stamp_of(change, epoch, projection.fingerprint(view, row) if shown and row is not None else ""),
        body=projection.body(view, row) if shown and row is not None else None,
        direct=change.of_initial_snapshot,
        text=projection.text(view, row) if shown and row is not None else None,
        invalidates=invalidates,
        recall=not projection.has_before or change.op is Op.READ,
        filled=view.optional,
    )


def want_kept(projection: Projection, change: Change, epoch: int) -> dict[View, Wanted]:
    """Every view as it is, under the stamp of a change that none is to show."""
    return {
        view: replace(_kept(change, epoch), recall=view in projection.row_views) for view in projection.views
    }


def _kept(change: Change, epoch: int) -> Wanted:
    stamp = stamp_of(change, epoch)
    return Wanted(change.key, stamp, None, direct=change.of_initial_snapshot, keep=True)


def want_row(
    projection: Projection, view: View, row: Row | None, refresh: Refresh, held: Held | None, now: Now
) -> Wanted:
    """Project a row that was read again.

    Only streamed changes move a version: with a higher one the record would refuse changes still to come.

    Raises:
        RowRejected: a value cannot be held by a store; names the field.
    """
    shown = row if row is not None and projection.predicate(row) else None
    trusted = held.stamp if held and not (refresh.force and now.is_impossible(held.stamp)) else None
    named = view.stale_entries(row) if row is not None and (shown or held) else NOTHING
    return Wanted(
        key=refresh.key,
        stamp=Stamp(
            version=make_version(now.epoch, 0) if trusted is None else trusted.version,
            seen=now.end,
            xid=None if trusted is None else trusted.xid,
            fp="" if shown is None else projection.fingerprint(view, shown),
        ),
        body=None if shown is None else projection.body(view, shown),
        text=None if shown is None else projection.text(view, shown),
        invalidates=refresh.entries(view.store) | named,
        filled=view.optional,
    )


def renew(
    store: str, wanted: Wanted, held: Held | None, refresh: Refresh, model: str | None = None
) -> Write | None:
    """The write that brings a record to its row as read again; None when there is neither.

    Whatever the versions: what was read now is newer than every change that the record shows, because the
    read waited until it could see that change.

    A record that is so already says by its stamp that it was looked at. Or else:

    1. Process A reads the row of a record, and is frozen before it writes.
    2. The row changes back to what the record shows, and B, which has the key now, finds nothing to write.
    3. A wakes. The record still is the one that it found, and A's older reading takes its place for good.
    """
    if wanted.body is None:
        return _removal(wanted, held)
    asked = refresh.force or bool(refresh.entries(store))
    if held is not None and not asked and _same_row(wanted, held, model):
        return Restamp(wanted.key, held, wanted.stamp)
    # forced: a vector that is there is made anew
    expected = replace(held, vector=None) if held and refresh.force else held
    return Put(wanted.key, expected, wanted.stamp, wanted.body, invalidates=wanted.invalidates)


def decide(wanted: Wanted, held: Held | None, model: str | None = None) -> Write | None:
    """The write that brings a store to `wanted`, or None when it stays as it is.

    The guard is `>=`, not `>`: several changes of a key in one transaction carry the same version, and the
    last of them must win. Equal contents are not written again, but their stamp moves: a record left with
    an old transaction id could be overwritten by a refresh that read too early.

    `model` is that of the vectors, where the view has a text: its Put is still without one.
    """
    if held is not None and wanted.stamp.version < held.stamp.version and not wanted.direct:
        return None
    if wanted.keep:
        return _keep(wanted, held)
    if wanted.body is None:
        return _removal(wanted, held)
    if held is not None and wanted.stamp == held.stamp:
        return None
    if held is not None and _same_contents(wanted, held, model):
        return Restamp(wanted.key, held, wanted.stamp)
    return Put(wanted.key, held, wanted.stamp, wanted.body, wanted.vector, wanted.invalidates)


def _removal(wanted: Wanted, held: Held | None) -> Remove | None:
    """Without a record, too: it may have expired before the entries that somebody computed from it, and a
    reader may be about to make it of an older row.
    """
    needed = held is not None or wanted.filled or bool(wanted.invalidates)
    return Remove(wanted.key, held, wanted.invalidates) if needed else None


def _keep(wanted: Wanted, held: Held | None) -> Write | None:
    if held is None or held.stamp == UNREADABLE:
        return None
    image = wanted.stamp.image if wanted.stamp.is_held_back else held.stamp.image
    stamp = wanted.stamp.held_back(held.stamp.contents, image)
    return None if stamp == held.stamp else Restamp(wanted.key, held, stamp)


def _same_contents(wanted: Wanted, held: Held, model: str | None) -> bool:
    """The fingerprint covers the text's columns, but neither the model nor a vector of another moment.

    Nor what others computed from the row between two changes of which the second took the first back.
    """
    return not wanted.invalidates and _same_row(wanted, held, model)


def _same_row(wanted: Wanted, held: Held, model: str | None) -> bool:
    if wanted.stamp.contents != held.stamp.contents:
        return False
    if wanted.text is None:
        return True
    return held.vector is not None and model is not None and held.vector.stands_for(wanted.text, model)
