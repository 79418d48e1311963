"""Takes one rule out of our own code."""

from __future__ import annotations

import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from tests.model.changes import Move
from tests.model.search import Script


@dataclass(frozen=True)
class Mutant:
    """`old` in the source of `where` (module:function or module:Class.method) replaced by `new`.

    `script` is a small world in which that shows.
    """

    where: str
    old: str
    new: str
    script: Script


def commits(name: str, *changes: Move) -> tuple[Move, ...]:
    """One transaction from its first change to its becoming visible."""
    return (*(("write", name, *change) for change in changes), ("commit", name), ("show", name))


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
