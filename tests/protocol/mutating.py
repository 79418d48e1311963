"""Takes rules out of our own functions."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock


class Edit(NamedTuple):
    """`old` in the source of a module's function replaced by `new`; the model calls it by its module."""

    module: ModuleType
    function: str
    old: str
    new: str


@contextmanager
def edited(edits: tuple[Edit, ...]) -> Iterator[None]:
    """Our code with those edits; all of one function at once."""
    sources: dict[tuple[str, str], str] = {}
    with ExitStack() as stack:
        for edit in edits:
            place = (edit.module.__name__, edit.function)
            source = sources.get(place) or inspect.getsource(getattr(edit.module, edit.function))
            assert source.count(edit.old) == 1, f"{place} does not say {edit.old!r} once: adapt the control"
            sources[place] = source.replace(edit.old, edit.new)
            made: dict[str, Any] = {}
            code = "from __future__ import annotations\n" + sources[place]
            exec(compile(code, ".".join(place), "exec"), vars(edit.module), made)  # noqa: S102 - our own source
            stack.enter_context(mock.patch.object(edit.module, edit.function, made[edit.function]))
        yield
