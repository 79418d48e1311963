"""Rules for what stores refuse, each taken out of our code."""

from __future__ import annotations

from typing import Final

from tests.model.changes import Move
from tests.model.mutating import Mutant, commits
from tests.model.scope import Scope
from tests.model.search import Script

_ROW: Final = Scope(owners=1, items=1, tags=0, refusing=True)
# the row is A at the beginning
_B, _LARGE = (("put", "items", "1", value) for value in (1, 2))
_TOAST_LARGE = ("toast", "1", 2)
_NO_LARGE: Move = ("refuse", "vectors", "large")
_NO_CHANGE: Move = ("refuse", "index", "changed")
_NARROW: Move = ("narrow", "1", "index", False)
_RESTART: tuple[Move, ...] = (("crash", "A"), ("start", "A"))
_BETWEEN_STORES: tuple[Move, ...] = (("until", "A", "apply index"), *_RESTART)
_REFUSED = Script(_ROW, ((_NO_LARGE, *commits("T1", _LARGE)),))
_REFUSED_TWICE = Script(_ROW, ((_NO_LARGE, *commits("T1", _LARGE), *commits("T2", _LARGE)),))
_NOT_JOINED = Script(_ROW, ((("refuse", "joined", "b"), *commits("T1", _B)),))
_REFUSED_AND_NARROW = Script(_ROW, ((_NO_LARGE, *commits("T1", _LARGE), _NARROW),))

MUTANTS: Final = {
    "only the store that refuses is put back": Mutant(
        "compensate:settle",
        "in case.next_image().items():",
        "in [i for i in case.next_image().items() if i[0].store in case.refusals[0]]:",
        _REFUSED,
    ),
    "an image from a change bears an earlier stamp than the refused change": Mutant(
        "saga:_held_back",
        "wanted.stamp.held_back(",
        "replace(wanted.stamp, version=wanted.stamp.version - 1).held_back(",
        _REFUSED,
    ),
    "an image from a store bears its earlier stamp": Mutant(
        "compensate:_again",
        "absence.stamp.held_back(before.record.stamp.contents, image)",
        "before.record.stamp",
        _REFUSED_TWICE,
    ),
    "letters are posted after the offsets are stored": Mutant(
        "app:Processor._handle",
        "parts.letters.post(letters)",
        "parts.consumer.done(batch.messages); parts.letters.post(letters)",
        Script(_ROW, (*_REFUSED.strands, _RESTART)),
    ),
    "a refused refresh stays in the stores that took it": Mutant(
        "renewal:renew_all",
        "settle(fanout, due",
        "settle(fanout, [] and due",
        Script(_ROW, ((_NO_LARGE, *commits("T1", _TOAST_LARGE)),)),
    ),
    "stores that stopped in the midst of a change count as agreed": Mutant(
        "compensate:as_before",
        "if len(images) > 1:",
        "if len(images := set(list(images)[:1])) > 1:",
        Script(_ROW, ((_NO_CHANGE, *commits("T1", _TOAST_LARGE)), _BETWEEN_STORES)),
    ),
    "an older image does not say that it is held back": Mutant(
        "stamp:Stamp.held_back", "{HELD_BACK}{image}", "", _REFUSED_AND_NARROW
    ),
    "a refresh of one store shows what the others hold back": Mutant(
        "refresher:_for_all",
        "if behind",
        "if False",
        _REFUSED_AND_NARROW,
    ),
    "a refresh that one store alone refuses does not concern the others": Mutant(
        "renewal:renew_all",
        "refresh.stores is not None and",
        "False and",
        Script(_ROW, ((("refuse", "index", "a"), ("narrow", "1", "index", True)),)),
    ),
    "a refused change shows in joined views": Mutant(
        "saga:Saga.apply", "if (name, key) not in refused", "", _REFUSED
    ),
    "what is refused joined stays in the others": Mutant(
        "app:Processor._try",
        "done.letters + self._parts.saga.take_back(projection, done.denied)",
        "done.letters",
        _NOT_JOINED,
    ),
    "what is refused joined, after it waited, stays in the others": Mutant(
        "refresher:Refreshed.leave_open",
        "replace(refresh, follows=False)",
        "replace(refresh, follows=False, taken=None)",
        _NOT_JOINED,
    ),
    "a refresh that waited still counts as following what the other stores took": Mutant(
        "refresher:Refreshed.leave_open",
        "replace(refresh, follows=False)",
        "refresh",
        Script(_ROW, ((_NO_LARGE, *commits("T1", _B, _LARGE)),)),
    ),
}
