"""Our own code with one rule taken out of it: what the model must find."""

from __future__ import annotations

import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from tests.model.changes import Move
from tests.model.search import Script
from tests.model.world import Scope


@dataclass(frozen=True)
class Mutant:
    """`old` in the source of `where` (module:function or module:Class.method) replaced by `new`.

    `script` is a small world in which that shows.
    """

    where: str
    old: str
    new: str
    script: Script


def _commits(name: str, *changes: Move) -> tuple[Move, ...]:
    """One transaction from its first change to its becoming visible."""
    return (*(("write", name, *change) for change in changes), ("commit", name), ("show", name))


_ROW = Scope(owners=1, items=1, tags=0)
_ROW_OF_TWO = Scope(owners=2, items=1, tags=0)
_ROW_AND_TAGS = Scope(owners=1, items=1, tags=2)
# the row is A at the beginning
_A, _B, _LARGE, _HIDDEN = (("put", "items", "1", value) for value in range(4))
_DELETE, _SHARE, _TRUNCATE = ("delete", "items", "1"), ("share", "1"), ("truncate", "items")
_TAG, _OTHER_TAG = ("put", "tags", "t", 0), ("put", "tags", "w", 1)
_COMMAND: Move = ("command", "1", False)
_RESTART: tuple[Move, ...] = (("crash", "A"), ("start", "A"))
_CHANGE_AND_COMMAND = Script(_ROW, (_commits("T1", _B), (_COMMAND,)))
_CHANGE_AND_RESTART = Script(_ROW, (_commits("T1", _B), _RESTART))
_TAG_AND_RESTART = Script(_ROW_AND_TAGS, (_commits("T1", _TAG), _RESTART))

MUTANTS = {
    "of one transaction's changes the first wins": Mutant(
        "decide:decide",
        "wanted.stamp.version < held",
        "wanted.stamp.version <= held",
        Script(_ROW, (_commits("T1", _B) + _commits("T2", _A, _LARGE),)),
    ),
    "collapse keeps the oldest": Mutant(
        "decide:collapse",
        "history.append(change)",
        "history.insert(0, change)",
        Script(_ROW, (_commits("T1", _B) + _commits("T2", _LARGE),)),
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
        Script(_ROW, (_commits("T1", _B) + _commits("T2", _LARGE), (("look", "1"),))),
    ),
    "a row of the initial snapshot ranks by its own position": Mutant(
        "change:Change.position",
        "0 if self.of_initial_snapshot else ",
        "",
        Script(Scope(owners=1, items=1, tags=0, early=True, settled=False), (_commits("T1", _B),)),
    ),
    "offsets are stored before the changes are applied": Mutant(
        "app:Processor._handle",
        "parts.breaker.check(plan.records, plan.failing)",
        "parts.consumer.done(batch)",
        _CHANGE_AND_RESTART,
    ),
    "equal contents keep the vector of another model": Mutant(
        "decide:_same_row",
        "stands_for(wanted.text, model)",
        "stands_for(wanted.text, held.vector.model)",
        Script(_ROW, (_commits("T1", _A), (("remodel",),))),
    ),
    "equal contents keep the old stamp": Mutant(
        "decide:decide",
        "return Restamp(wanted.key, held, wanted.stamp)",
        "return None",
        Script(
            _ROW,
            (
                (
                    *(*_commits("T1", _B), ("write", "T2", *_A), ("commit", "T2")),
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
                _commits("T1", _TAG),
                (
                    ("until", "A", "apply joined"),
                    ("evict", "A"),
                    *_commits("T2", ("delete", "tags", "t")),
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
        Script(_ROW_AND_TAGS, (_commits("T1", _TAG),)),
    ),
    "a refresh does not wait for whoever removes the row": Mutant(
        "refresher:Refresher._is_hidden",
        "None in records",
        "False",
        Script(_ROW, (_commits("T1", _DELETE), (_COMMAND,))),
    ),
    "the number of a group of lockers is taken for a transaction's": Mutant(
        "refresher:Refresher._is_at_work",
        "seen, following = self._lockers.pop(row, (0, 0))",
        "return snapshot.hides(locker)",
        Script(_ROW, (_commits("T1", _SHARE), _commits("T2", _HIDDEN), (_COMMAND,))),
    ),
    "running transactions above the last that ended count as ended": Mutant(
        "snapshot:Snapshot.hides", " or self.xmax <= wide < self.following", "", _CHANGE_AND_COMMAND
    ),
    "one command for several transactions of a batch": Mutant(
        "routes:requests_of",
        "(r.topic, r.key, r.partition, r.command.xid): r",
        "(r.topic, r.key, r.partition, None): r",
        Script(_ROW_AND_TAGS, (_commits("T1", _TAG), _commits("T2", _OTHER_TAG))),
    ),
    "open refreshes count as done": Mutant(
        "app:Processor._handle", "self._backlog.since(), ", "", _TAG_AND_RESTART
    ),
    "open sweeps count as done": Mutant(
        "app:Processor._handle",
        " parts.sweeper.since()",
        "",
        Script(_ROW, (_commits("T1", _B) + _commits("T2", _TRUNCATE), _RESTART)),
    ),
    "commands are sent after the offsets are stored": Mutant(
        "app:Processor._handle",
        "self._send(plan.requests)",
        "parts.consumer.done(batch); self._send(plan.requests)",
        _TAG_AND_RESTART,
    ),
    "a sweep begins before the changes before it": Mutant(
        "sweeper:Sweeper.step",
        "self._done(*place) < end",
        "False",
        Script(replace(_ROW, filled=0), (_commits("T1", _B) + _commits("T2", _TRUNCATE),)),
    ),
    "a store does not compare before it sets": Mutant(
        "stores.memory:MemoryStore._apply_one",
        "if expected !=",
        "if False and expected !=",
        Script(
            _ROW_OF_TWO,
            (_commits("T1", _B) + _commits("T2", _LARGE), (("until", "A", "apply vectors"), ("evict", "A"))),
        ),
    ),
}


@contextmanager
def mutated(mutant: Mutant) -> Iterator[None]:
    """Our code with that change, wherever it is used."""
    module_name, _, path = mutant.where.partition(":")
    module = importlib.import_module(f"processor.{module_name}")
    *classes, name = path.split(".")
    owner: Any = getattr(module, classes[0]) if classes else module
    original = inspect.getattr_static(owner, name)
    made = _remake(original, mutant, vars(module))
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(owner, name, made))
        for other in [m for n, m in sys.modules.items() if n.startswith("processor.") and not classes]:
            if vars(other).get(name) is original:
                stack.enter_context(mock.patch.object(other, name, made))
        yield


def _remake(original: Any, mutant: Mutant, names: dict[str, Any]) -> Any:
    function: Any = original.fget if isinstance(original, property) else original
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(mutant.old) == 1, f"{mutant.where} does not say {mutant.old!r} once: adapt the mutant"
    made: dict[str, Any] = {}
    code = "from __future__ import annotations\n" + source.replace(mutant.old, mutant.new)
    exec(compile(code, mutant.where, "exec"), names, made)  # noqa: S102 - our own source
    return made[function.__name__]
