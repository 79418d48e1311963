"""Brings all stores to one older image of a row that some of them refuse: the best that none refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from processor.change import Message
from processor.decide import Wanted
from processor.errors import RowRejected
from processor.fanout import Fanout
from processor.letters import Letter, letter_of_refused, letter_of_rejected
from processor.refresh import Refresh, Replay, Taken
from processor.stamp import Stamp
from processor.stores.base import Outcome, Record, Refused
from processor.tables.base import Projection, View

Image = Mapping[View, Wanted]
"""What the stores are to show of one row."""
Refusal = RowRejected | Mapping[str, str]
"""Why an image is not shown: our own validation refuses it, or stores do (store -> reason)."""


@dataclass
class Case:
    """A row that is refused, and what is to be shown instead.

    Attributes:
        images: the best first; in place of one that cannot be, the reason.
        absence: what is left when all of them are refused.
        refusals: of what was to be shown, then of the images, until one was taken.
        took: views whose stores had taken what our own validation refuses elsewhere.
        failed: stores that refuse absence, too.
    """

    projection: Projection
    key: str
    images: Iterator[Image | RowRejected]
    absence: Image
    refusals: list[Refusal]
    took: Sequence[View] = ()
    failed: frozenset[str] = frozenset()
    _is_last: bool = False

    def next_image(self) -> Image:
        """What is to be tried now."""
        for image in self.images:
            if not isinstance(image, RowRejected):
                return image
            self.refusals.append(image)
        self._is_last = True
        return self.absence

    def is_settled(self, refused: Mapping[str, str]) -> bool:
        """Whether nothing is left to be tried; `refused` is which stores refuse the image, and why."""
        if refused and not self._is_last:
            self.refusals.append(refused)
            return False
        self.failed = frozenset(refused)
        return True

    def letter(self, message: Message, refusal: Refusal, replay: Replay | None = None) -> Letter:
        """For the record that asked for what was refused."""
        if isinstance(refusal, RowRejected):
            outcomes = dict.fromkeys((view.store for view in self.took), "compensated")
            outcomes |= dict.fromkeys(self.failed, "compensation_failed")
            return letter_of_rejected(self.projection, message, self.key, refusal, replay, outcomes)
        outcomes = {view.store: self._outcome(view.store, refusal) for view in self.absence}
        return letter_of_refused(self.projection, message, self.key, refusal, outcomes, replay)

    def _outcome(self, store: str, refusal: Mapping[str, str]) -> str:
        if store in self.failed:
            return "compensation_failed"
        return "rejected" if store in refusal else "compensated"


@dataclass(frozen=True)
class Denied:
    """A refresh of joined views that is refused, when other stores have `taken` what was to be joined.

    `was_held_back`: an earlier change had been refused, too: what the row was before these was not shown.
    """

    refresh: Refresh
    taken: Taken
    refusal: Refusal
    was_held_back: bool


def settle(fanout: Fanout, cases: Sequence[Case]) -> None:
    """Try the images of all cases, one of each at a time.

    Raises:
        As `Fanout.bring`.
    """
    open_cases = list(cases)
    while open_cases:
        wanted: dict[View, dict[str, Wanted]] = {}
        for case in open_cases:
            for view, item in case.next_image().items():
                wanted.setdefault(view, {})[case.key] = item
        refused = {view: brought.refused for view, brought in fanout.bring(wanted).items()}
        open_cases = [case for case in open_cases if not case.is_settled(_reasons(case, refused))]


def _reasons(case: Case, refused: Mapping[View, Mapping[str, Refused]]) -> dict[str, str]:
    return reasons_of(case.key, {view: found for view, found in refused.items() if view in case.absence})


def reasons_of(key: str, outcomes: Mapping[View, Mapping[str, Outcome]]) -> dict[str, str]:
    """Store -> why it refuses that key."""
    found = {view.store: outcomes[view].get(key) for view in outcomes}
    return {store: outcome.reason for store, outcome in found.items() if isinstance(outcome, Refused)}


@dataclass(frozen=True)
class Before:
    """A record as it was; `record` None: it still is there so, but for its stamp."""

    stamp: Stamp
    record: Record | None


def as_before(before: Mapping[View, Before | None], absence: Image, views: Sequence[View]) -> Image | None:
    """What the stores showed, if that is known and was one image in all of `views`; else None.

    Stores that stopped in the midst of a change show different ones. An optional record that is another's, or
    unknown, is dropped: readers cope without. Views beyond `views` are brought back to what they showed.
    """
    needed = [view for view in views if not view.optional] or views
    if any(view not in before for view in needed):
        return None
    images = {found.stamp.image if found else None for found in (before[view] for view in needed)}
    if len(images) > 1:
        return None
    (image,) = images
    shown = {}
    for view, wanted in absence.items():
        found = before.get(view)
        same = found is not None and (view not in views or found.stamp.image == image)
        shown[view] = _again(found, wanted, image) if found and same and image else wanted
    return shown


def _again(before: Before, absence: Wanted, image: str) -> Wanted:
    if before.record is None:
        return replace(absence, keep=True, stamp=absence.stamp.held_back("", image))
    stamp = absence.stamp.held_back(before.record.stamp.contents, image)
    return replace(absence, stamp=stamp, body=before.record.body, vector=before.record.vector)
