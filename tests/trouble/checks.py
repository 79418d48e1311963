"""What every store must survive: it is waited for, no row is blamed, afterwards the records are right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TypeVar

import pytest
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from processor.errors import Unavailable
from processor.stamp import Stamp
from processor.stores.base import Applied, Outcome, Put, Refused, Store
from processor.tables.base import View
from processor.vector import Vector
from tests.conformance import body
from tests.integration.scratch_server import ScratchServer

T = TypeVar("T")
STAMP, LATER = Stamp(1, 1, 1, "f"), Stamp(2, 2, 2, "f")


@contextmanager
def ended(server: ScratchServer) -> Iterator[None]:
    """The server is away meanwhile."""
    server.stop()
    try:
        yield
    finally:
        server.up()


def puts(
    name: str, count: int = 3, values: Mapping[str, object] | None = None, vector: Vector | None = None
) -> list[Put]:
    """Records of their own names, not there yet."""
    return [
        Put(f"{name}-{n}", None, LATER, {**body(f"{name}-{n}"), **(values or {})}, vector)
        for n in range(count)
    ]


def assert_waited_for(
    store: Store,
    view: View,
    trouble: AbstractContextManager[object],
    match: str,
    writes: Sequence[Put],
    hint: str = "",
) -> None:
    """While in trouble every write is Unavailable, once and again; afterwards the same writes pass.

    One of them replaces a record, the others are new.
    """
    first = replace(writes[0], stamp=STAMP, body=body("old"))
    assert retried(write, store, view, [first]) == [Applied()]
    with trouble:
        for _ in range(2):
            with pytest.raises(Unavailable, match=match) as caught:
                write(store, view, writes)
            assert hint in str(caught.value.hint)
    assert_written(store, view, writes)


def assert_written(store: Store, view: View, writes: Sequence[Put]) -> None:
    """Within two minutes the store takes the writes, and shows them."""
    assert retried(write, store, view, writes) == [Applied()] * len(writes)
    shown = store.read(view, [put.key for put in writes])
    assert {key: (record.stamp, record.body) for key, record in shown.items()} == {
        put.key: (put.stamp, put.body) for put in writes
    }


def retried(call: Callable[..., T], *arguments: object) -> T:
    """As the processor waits: until the store is there again."""
    again = Retrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_fixed(0.2),
        stop=stop_after_delay(120),
        reraise=True,
    )
    return again(call, *arguments)


def write(store: Store, view: View, writes: Sequence[Put]) -> list[Outcome]:
    """As the processor does it: stamps are read first."""
    held = store.stamps(view, [put.key for put in writes])
    return store.apply(view, [replace(put, expected=held.get(put.key)) for put in writes])


def assert_only_refused(store: Store, view: View, good: Sequence[Put], bad: Put, reason: str) -> None:
    """Amid the good rows exactly the bad one is refused; the others are there."""
    middle = len(good) // 2
    outcomes = store.apply(view, [*good[:middle], bad, *good[middle:]])
    refused = outcomes.pop(middle)
    assert isinstance(refused, Refused), refused
    assert reason in refused.reason, refused.reason
    assert outcomes == [Applied()] * len(good)
    assert set(store.stamps(view, [bad.key, *(put.key for put in good)])) == {put.key for put in good}
