"""Parts of the readers' cache that need no server."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tenacity import Retrying, retry_if_result, stop_after_delay

from processor.errors import ConfigurationError, RowRejected, SourceError
from processor.settings import read_block
from processor.snapshot import Snapshot
from processor.stamp import Stamp
from processor.stores.redis_entry import record_of
from processor.tables import PROJECTIONS, projection_of
from reader import CacheSettings
from reader.catalog import OF_ONE_ROW, Catalog
from reader.entries import Found, RowEntry
from reader.flights import Flights
from reader.lease import Lease
from reader.pause import Pause
from tests.unit.samples import POLICIES, row

CATALOG = Catalog(PROJECTIONS, 3_600, 300)
QUIET = Snapshot(100, 100, frozenset(), 100)
BUSY = Snapshot(90, 100, frozenset({90}), 105)


@given(st.none() | st.integers(0, (1 << 64) - 1))
def test_a_lease_is_read_as_it_was_written(following: int | None) -> None:
    lease = replace(Lease.new(), following=following)
    assert Lease.parse(lease.text) == lease


@pytest.mark.parametrize("text", ["", "x", ":", "x:y", "a:b:c", "x:-1", "x:²"])
def test_what_is_no_lease_of_ours_is_somebodys_who_loads(text: str) -> None:
    assert Lease.parse(text).following is None


@pytest.mark.parametrize(
    ("following", "snapshot", "locker", "admitted"),
    [
        (None, QUIET, None, True),
        (None, BUSY, None, False),
        (None, BUSY, 0, True),
        (None, BUSY, 90, False),
        (None, QUIET, 90, True),  # it had ended: it only locked the row, or was rolled back
        (90, BUSY, None, True),
        (91, BUSY, None, False),
        (91, BUSY, 0, True),
    ],
)
def test_a_read_counts_if_all_that_ran_when_the_lease_was_given_has_ended_or_nobody_touched_the_row(
    following: int | None, snapshot: Snapshot, locker: int | None, admitted: bool
) -> None:
    assert Lease("t", following).admits(snapshot, locker) is admitted


def test_a_lease_remembers_what_was_at_work_at_its_first_read() -> None:
    first = Lease("t").after(BUSY)
    assert first == Lease("t", 105)
    assert first.after(replace(BUSY, following=200)) == first


def test_every_entry_that_the_processor_drops_is_one_that_readers_can_ask_for() -> None:
    for projection in PROJECTIONS:
        for view in projection.views:
            for pattern in view.invalidates:
                kind, _, column = pattern.removesuffix("}").partition(":{")
                of_row = (column,) == projection.key_columns
                assert of_row == (kind in OF_ONE_ROW)
                made = CATALOG.of_row(kind, "a b") if of_row else CATALOG.keys(kind, "a b")
                assert made is not None
                assert made.name in view.stale_entries({column: "a b"})


def test_entries_live_as_long_as_their_kind() -> None:
    lives = {
        "policy_metadata": CATALOG.of_row("policy_metadata", "P"),
        "quality_score": CATALOG.of_row("quality_score", "P"),
        "policies:region": CATALOG.keys("policies:region", "11"),
        "policy": CATALOG.row("policies", "P"),
    }
    found = {kind: entry.seconds for kind, entry in lives.items() if entry is not None}
    assert found == {
        "policy_metadata": 3_600,
        "quality_score": 300,
        "policies:region": 3_600,
        "policy": 3_600,
    }


def entry() -> RowEntry:
    made = CATALOG.row("policies", "POL-1")
    assert made is not None
    return made


def test_a_readers_record_bears_the_lowest_version_and_the_rows_fingerprint() -> None:
    text = entry().text(Found(row(), 0), end=77)
    view = projection_of("policies").view("redis")
    assert record_of(text).stamp == Stamp(0, 77, None, POLICIES.fingerprint(view, row()))
    assert entry().value(text) == POLICIES.body(view, row())


def test_a_row_that_no_store_can_hold_is_refused_by_the_fields_name() -> None:
    with pytest.raises(RowRejected, match="quality_score"):
        entry().text(Found({**row(), "quality_score": float("nan")}, 0), end=77)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"1", b'"x"', b'{"value"', b"\xff", b"{}"])
def test_what_is_no_entry_of_ours_has_no_value(text: bytes) -> None:
    computed = CATALOG.of_row("quality_score", "P")
    assert computed is not None
    assert computed.value(text) is None
    assert entry().value(text) is None


def test_a_pause_ends_by_itself() -> None:
    now = [10.0]
    pause = Pause(5, lambda: now[0])
    assert not pause.is_on
    pause.begin()
    now[0] = 14.9
    assert pause.is_on
    now[0] = 15
    assert not pause.is_on


def test_a_load_is_forgotten_when_it_has_ended() -> None:
    flights = Flights[int]()
    with pytest.raises(ZeroDivisionError):
        flights.once("a", lambda: 1 // 0)
    assert [flights.once("a", lambda n=n: n) for n in (1, 2)] == [1, 2]  # type: ignore[misc]
    assert flights.joined == 0


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_thread_that_loads_and_is_an_error_for_those_that_wait(
    interrupt: type[BaseException],
) -> None:
    flights = Flights[int]()
    waiting: list[Future[int]] = []

    def load() -> int:
        waiting.append(pool.submit(flights.once, "a", lambda: 1))
        Retrying(retry=retry_if_result(lambda joined: joined == 0), stop=stop_after_delay(60))(
            lambda: flights.joined
        )
        raise interrupt

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(interrupt):
            flights.once("a", load)
        error = waiting[0].exception()
    assert isinstance(error, SourceError)
    assert str(error) == f"the thread that loaded a for all was interrupted ({interrupt.__name__})"
    assert error.hint == "read it again"
    assert flights.once("a", lambda: 2) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CACHE_PROCESS_SECONDS", "301"),
        ("CACHE_PROCESS_ENTRIES", "0"),
        ("CACHE_QUALITY_SECONDS", "0"),
        ("CACHE_TIMEOUT_SECONDS", "0"),
        ("CACHE_PAUSE_SECONDS", "-1"),
        ("CACHE_POSTGRES_CONNECTIONS", "0"),
        ("CACHE_POSTGRES_SECONDS", "31"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name}='{value}'"):
        read_block(CacheSettings)
