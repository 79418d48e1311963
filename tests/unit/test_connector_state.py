"""What the state of a connector means, and how patient its client is. No server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from ops.connector import client
from ops.connector.client import Connect, Rebalancing, Status, Unreachable
from ops.connector.state import State, fault
from ops.connector.topics import Topic
from processor.errors import ConfigurationError, SourceError
from processor.settings import ConnectSettings
from sql.capture import CONNECTOR, SLOT
from sql.positions import Slot

RUNNING = State(
    Status("RUNNING", ("RUNNING",), ""),
    Slot(SLOT, True, "reserved", 1_000, 256, 12_345),
    [Topic("t", 12, 1, 1), Topic("u", 1, 1, 1)],
    {"t": 12, "u": 1, "somebody-elses": 3},
)


def test_a_connector_that_runs_has_no_fault() -> None:
    assert fault(RUNNING) is None
    assert RUNNING.lines() == [
        f"connector {CONNECTOR}: RUNNING",
        "tasks: RUNNING",
        f"slot {SLOT}: active, log reserved, confirmed to 0/100, 12,345 bytes behind",
        "topics: 2 of 2",
    ]


def test_nothing_there_is_shown_as_such() -> None:
    state = State(None, None, RUNNING.wanted, {})
    assert state.as_json() == {"connector": None, "slot": None, "topics": {"t": None, "u": None}}
    assert state.lines() == [
        f"connector {CONNECTOR}: not registered",
        "tasks: none",
        f"slot {SLOT}: does not exist",
        "topics: 0 of 2",
    ]


FAILED = Status("RUNNING", ("FAILED",), 'ERROR: publication "aegis_publication" does not exist')
FAULTS = [
    (replace(RUNNING, connector=None), "is not registered", "aegis connector apply"),
    (replace(RUNNING, connector=FAILED, found={}), "the publication is missing", "aegis migrate"),
    (replace(RUNNING, found={"u": 1}), "waits for them: t", "aegis connector apply"),
    (replace(RUNNING, connector=Status("PAUSED", ("PAUSED",), "")), "is PAUSED", "aegis connector resume"),
    (replace(RUNNING, connector=Status("STOPPED", (), "")), "is STOPPED", "aegis connector resume"),
    (replace(RUNNING, connector=Status("RUNNING", (), "")), "is RUNNING, tasks none", "look again"),
    (replace(RUNNING, connector=Status("RUNNING", ("UNASSIGNED",), "")), "tasks UNASSIGNED", "look again"),
    (replace(RUNNING, slot=None), "does not read slot", "aegis stack logs connect"),
    (
        replace(RUNNING, slot=Slot(SLOT, False, "lost", None, 1, 1)),
        "does not read slot",
        "aegis stack logs connect",
    ),
]


@pytest.mark.parametrize(("state", "what", "then"), FAULTS)
def test_a_fault_is_told_with_what_to_run(state: State, what: str, then: str) -> None:
    error = fault(state)
    assert isinstance(error, SourceError)
    assert what in str(error)
    assert str(error.hint).startswith(then)


def test_unequal_partitions_are_a_matter_of_configuration() -> None:
    error = fault(replace(RUNNING, found={"t": 3, "u": 1}))
    assert isinstance(error, ConfigurationError)
    assert str(error) == "t has 3 partitions, wanted 12"


def connect_over(answer: Callable[[httpx.Request], httpx.Response]) -> Connect:
    connect = Connect(ConnectSettings(_env_file=None))  # type: ignore[call-arg]
    connect.close()
    connect._http = httpx.Client(base_url="http://connect", transport=httpx.MockTransport(answer))
    return connect


def test_a_rebalance_and_a_broken_connection_are_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE_SECONDS", 0)
    answers = iter([httpx.Response(409), None, httpx.Response(200, json={"slot.name": "s"})])

    def answer(request: httpx.Request) -> httpx.Response:
        response = next(answers)
        if response is None:
            raise httpx.ReadError("connection reset by peer")
        return response

    assert connect_over(answer).config("any") == {"slot.name": "s"}


@pytest.mark.parametrize(
    ("limit", "error"), [("REBALANCE_SECONDS", Rebalancing), ("ANSWER_SECONDS", Unreachable)]
)
def test_patience_ends(monkeypatch: pytest.MonkeyPatch, limit: str, error: type[SourceError]) -> None:
    monkeypatch.setattr(client, limit, 0)

    def answer(request: httpx.Request) -> httpx.Response:
        if error is Unreachable:
            raise httpx.ConnectError("refused")
        return httpx.Response(409, text="rebalancing")

    with pytest.raises(error):
        connect_over(answer).status("any")
