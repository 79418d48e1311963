"""The rules that keep the verdict right, each taken out in a scenario in which that does harm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from processor import decide
from reconciler import verdict
from tests.protocol.explore import RIGHT, Explored, Scenario, explore_faults, explore_rechecks
from tests.protocol.mutating import Edit
from tests.protocol.path import Limits
from tests.protocol.recheck import Fence, Procedure
from tests.protocol.source import DELETE, commits


class Control(NamedTuple):
    """Either rules of our source are taken out (`edits`), or steps of the procedure."""

    scenario: Scenario
    edits: tuple[Edit, ...] = ()
    procedure: Procedure = RIGHT
    explore: Callable[[Scenario, Procedure], Explored] = explore_rechecks


_REFRESH: Final = Limits(refreshes=1)
_MADE: Final = Scenario(None, (commits("a"),))
_CHANGED: Final = Scenario("a", (commits("b"),))
_DELETED: Final = Scenario("a", (commits(DELETE),))
_MADE_AND_DELETED: Final = Scenario(None, (commits("a"), commits(DELETE)), _REFRESH)
_JOINED: Final = Scenario("a", (commits("b"),), Limits(joined=True))
_CHANGED_BACK: Final = Scenario("a", (commits("b"), commits("a")), _REFRESH)
_EQUAL_IS_PRUNED: Final = (
    Edit(decide, "decide", "return Restamp(wanted.key, held, wanted.stamp)", "return None"),
)
_IMPOSSIBLE: Final = "record is not None and _is_impossible(record, equal, span.now)"
_LAST: Final = "    if record is None:\n        return Verdict.MISSING"
_IMPOSSIBLE_LAST: Final = (
    Edit(verdict, "judge", _IMPOSSIBLE, "False"),
    Edit(verdict, "judge", _LAST, f"    if {_IMPOSSIBLE}:\n        return Verdict.CORRUPT_STAMP\n{_LAST}"),
)

CONTROLS: Final = {
    "what differs at the first look is reported": Control(
        _MADE, procedure=Procedure(Fence.NONE, reads_again=False, rules=False)
    ),
    "a look after the lag is gone is believed": Control(
        _MADE, procedure=Procedure(Fence.LAG, reads_again=False, rules=False)
    ),
    "the fence waits for what Kafka holds, not for what the log holds": Control(
        _MADE, procedure=Procedure(Fence.LAG)
    ),
    "the fence waits for nothing": Control(_MADE, procedure=Procedure(Fence.NONE)),
    "the fence forgets the commands": Control(_JOINED, procedure=Procedure(Fence.STREAM)),
    "no rule waits for what may move": Control(_CHANGED, procedure=Procedure(rules=False)),
    "a record of a transaction that was not visible is judged": Control(
        _CHANGED, (Edit(verdict, "_may_move", "not span.first.shows(record.xid)", "False"),)
    ),
    "what the second read sees counts, not what the first one saw": Control(
        _MADE_AND_DELETED,
        (Edit(verdict, "_may_move", "span.first.shows(record.xid)", "span.now.snapshot.shows(record.xid)"),),
    ),
    "the version tells how new a record is": Control(
        _MADE_AND_DELETED,
        (
            Edit(
                verdict,
                "_may_move",
                "record.seen >= span.begin",
                "record.version - (span.now.epoch << 54) >= span.begin",
            ),
        ),
    ),
    "the row is not read again": Control(_DELETED, procedure=Procedure(reads_again=False)),
    "the second read does not tell who holds the row by then": Control(
        _DELETED, procedure=Procedure(holders_again=False)
    ),
    "a delete that was under way is not waited for": Control(
        _DELETED, (Edit(verdict, "_may_move", "span.now.snapshot.xmin < span.first.following", "False"),)
    ),
    "a change to equal contents leaves the old stamp: a false verdict": Control(
        _CHANGED_BACK, _EQUAL_IS_PRUNED
    ),
    "a change to equal contents leaves the old stamp: a store that differs": Control(
        _CHANGED_BACK, _EQUAL_IS_PRUNED, explore=explore_faults
    ),
    "impossible stamps are judged last": Control(_CHANGED, _IMPOSSIBLE_LAST, explore=explore_faults),
}
