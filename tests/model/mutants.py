"""Our own code with one rule taken out of it: what the model must find."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.model.changes import Move
from tests.model.mutating import Mutant, commits
from tests.model.scope import Scope
from tests.model.search import Script

_ROW = Scope(owners=1, items=1, tags=0)
_ROW_OF_TWO = Scope(owners=2, items=1, tags=0)
_ROW_AND_TAGS = Scope(owners=1, items=1, tags=2)
# the row is A at the beginning
_A, _B, _LARGE, _HIDDEN = (("put", "items", "1", value) for value in range(4))
_DELETE, _SHARE, _TRUNCATE = ("delete", "items", "1"), ("share", "1"), ("truncate", "items")
_TAG, _OTHER_TAG = ("put", "tags", "t", 0), ("put", "tags", "w", 1)
_COMMAND: Move = ("command", "1", False)
_RESTART: tuple[Move, ...] = (("crash", "A"), ("start", "A"))
_CHANGE_AND_COMMAND = Script(_ROW, (commits("T1", _B), (_COMMAND,)))
_CHANGE_AND_RESTART = Script(_ROW, (commits("T1", _B), _RESTART))
_TAG_AND_RESTART = Script(_ROW_AND_TAGS, (commits("T1", _TAG), _RESTART))

MUTANTS: Final = {
    "of one transaction's changes the first wins": Mutant(
        "decide:decide",
        "wanted.stamp.version < held",
        "wanted.stamp.version <= held",
        Script(_ROW, (commits("T1", _B) + commits("T2", _A, _LARGE),)),
    ),
    "collapse keeps the oldest": Mutant(
        "decide:collapse",
        "history.append(change)",
        "history.insert(0, change)",
        Script(_ROW, (commits("T1", _B) + commits("T2", _LARGE),)),
    ),
    "a refresh raises the version": Mutant(
        "decide:want_row",
        "else trusted.version",
        "else max(trusted.version, make_version(now.epoch, now.end))",
        _CHANGE_AND_COMMAND,
    ),
    "a row of a later snapshot is applied like a change": Mutant(
        "change:Change.of_later_snapshot",
        "return self.op is Op.READ and",
        "return False and",
        Script(_ROW, (commits("T1", _B) + commits("T2", _LARGE), (("look", "1"),))),
    ),
    "a row of the initial snapshot ranks by its own position": Mutant(
        "change:Change.position",
        "0 if self.of_initial_snapshot else ",
        "",
        Script(Scope(owners=1, items=1, tags=0, early=True, settled=False), (commits("T1", _B),)),
    ),
    "offsets are stored before the changes are applied": Mutant(
        "app:Processor._handle",
        "parts.breaker.check(plan.records, plan.failing)",
        "parts.consumer.done(batch.messages)",
        _CHANGE_AND_RESTART,
    ),
    "the client is believed where it goes on": Mutant(
        "consumer:ChangeConsumer._seek",
        "self._consumer.seek(place)",
        "pass",
        Script(_ROW, (commits("T1", _B), (("until", "A", "apply vectors"), ("group", 0)))),
    ),
    "equal contents keep the vector of another model": Mutant(
        "decide:_same_row",
        "stands_for(wanted.text, model)",
        "stands_for(wanted.text, held.vector.model)",
        Script(_ROW, (commits("T1", _A), (("remodel",),))),
    ),
    "equal contents keep the old stamp": Mutant(
        "decide:decide",
        "return Restamp(wanted.key, held, wanted.stamp)",
        "return None",
        Script(
            _ROW,
            (
                (
                    *(*commits("T1", _B), ("write", "T2", *_A), ("commit", "T2")),
                    *(("emit",), ("emit",), _COMMAND, ("show", "T2")),
                ),
            ),
            emits=False,
        ),
    ),
    "a refresh that finds the record right leaves its stamp": Mutant(
        "decide:renew",
        "return Restamp(wanted.key, held, wanted.stamp)",
        "return None",
        Script(
            Scope(owners=2, items=1, tags=1),
            (
                commits("T1", _TAG),
                (
                    ("until", "A", "apply joined"),
                    ("evict", "A"),
                    *commits("T2", ("delete", "tags", "t")),
                ),
            ),
        ),
    ),
    "a refresh does not wait for the record's transaction": Mutant(
        "refresher:Refresher._is_hidden",
        "if held and held.stamp.xid is not None",
        "if False",
        _CHANGE_AND_COMMAND,
    ),
    "a refresh does not wait for the command's transaction": Mutant(
        "refresher:Refresher._is_hidden",
        "refresh.xids | {",
        "{",
        Script(_ROW_AND_TAGS, (commits("T1", _TAG),)),
    ),
    "a refresh does not wait for whoever removes the row": Mutant(
        "refresher:Refresher._is_hidden",
        "None in records",
        "False",
        Script(_ROW, (commits("T1", _DELETE), (_COMMAND,))),
    ),
    "the number of a group of lockers is taken for a transaction's": Mutant(
        "refresher:Refresher._is_at_work",
        "seen, following = self._lockers.pop(row, (0, 0))",
        "return snapshot.hides(locker)",
        Script(_ROW, (commits("T1", _SHARE), commits("T2", _HIDDEN), (_COMMAND,))),
    ),
    "running transactions above the last that ended count as ended": Mutant(
        "snapshot:Snapshot.hides", " or self.xmax <= wide < self.following", "", _CHANGE_AND_COMMAND
    ),
    "one command for several transactions of a batch": Mutant(
        "routes:requests_of",
        "(r.topic, r.key, r.partition, r.command.xid): r",
        "(r.topic, r.key, r.partition, None): r",
        Script(
            _ROW_AND_TAGS,
            (
                (
                    *(("write", "T1", *_TAG), ("write", "T2", *_OTHER_TAG)),
                    *(("commit", "T1"), ("commit", "T2"), ("emit",), ("emit",)),
                ),
                (("show", "T1"),),
                (("show", "T2"),),
            ),
            emits=False,
        ),
    ),
    "open refreshes count as done": Mutant(
        "app:Processor._handle", "self._backlog.since(), ", "", _TAG_AND_RESTART
    ),
    "open sweeps count as done": Mutant(
        "app:Processor._handle",
        " parts.sweeper.since()",
        "",
        Script(_ROW, (commits("T1", _B) + commits("T2", _TRUNCATE), _RESTART)),
    ),
    "commands are sent after the offsets are stored": Mutant(
        "app:Processor._handle",
        "self._send(plan.requests)",
        "parts.consumer.done(batch.messages); self._send(plan.requests)",
        _TAG_AND_RESTART,
    ),
    "a sweep begins before the changes before it": Mutant(
        "sweeper:Sweeper.step",
        "self._done(*place) < end",
        "False",
        Script(
            replace(_ROW, filled=0),
            ((*commits("T1", _B), *commits("T2", _TRUNCATE), ("emit",), ("emit",)),),
            emits=False,
        ),
    ),
    "a store does not compare before it sets": Mutant(
        "stores.memory:MemoryStore._apply_one",
        "if expected !=",
        "if False and expected !=",
        Script(
            _ROW_OF_TWO,
            (
                commits("T1", _B),
                (("until", "A", "apply vectors"), ("evict", "A"), *commits("T2", _LARGE)),
            ),
        ),
    ),
}
