"""Real child processes: what is asserted is how the operating system behaves."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ops.stack import process
from ops.stack.layout import DEFAULT_PORTS, StackLayout
from ops.stack.process import StartFailed

ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[StackLayout]:
    layout = StackLayout(tmp_path / "cache", tmp_path / "state", tmp_path / "env", dict(DEFAULT_PORTS))
    yield layout
    for name in process.known(layout):
        process.stop(layout, name, sig=signal.SIGKILL)


@pytest.fixture
def foreign() -> Iterator[psutil.Process]:
    """A process that we did not start through `process`."""
    child = subprocess.Popen(["sleep", "600"])
    yield psutil.Process(child.pid)
    child.kill()
    child.wait()


def record(layout: StackLayout, service: str, pid: int | str) -> None:
    layout.pid_file(service).parent.mkdir(parents=True, exist_ok=True)
    layout.pid_file(service).write_text(str(pid))


def test_a_started_process_is_recorded_and_recognised(layout: StackLayout) -> None:
    pid = process.start(layout, "sleeper", ["sleep", "600"], ENV)
    assert process.recorded_pid(layout, "sleeper") == pid
    leader = process.leader(layout, "sleeper")
    assert leader is not None
    assert leader.pid == pid
    assert process.known(layout) == {"sleeper"}


def test_the_process_finds_itself_recorded_when_its_program_begins(layout: StackLayout) -> None:
    pid_file = layout.pid_file("witness")
    check = f'test "$(cat {pid_file})" = "$$" && echo recorded before exec; exec sleep 600'
    process.start(layout, "witness", ["sh", "-c", check], ENV)
    process.stop(layout, "witness")
    assert layout.log_file("witness").read_text() == "recorded before exec\n"


def test_it_lives_in_a_session_of_its_own(layout: StackLayout) -> None:
    pid = process.start(layout, "sleeper", ["sleep", "600"], ENV)
    assert os.getsid(pid) == pid != os.getsid(0)


def test_it_gets_only_the_given_environment_and_the_mark(layout: StackLayout) -> None:
    process.start(layout, "sleeper", ["sleep", "600"], {**ENV, "COLOUR": "green"})
    leader = process.leader(layout, "sleeper")
    assert leader is not None
    environment = leader.environ()
    assert environment["COLOUR"] == "green"
    assert environment[process.MARK] == str(layout.state_dir / "sleeper")
    assert "HOME" not in environment


def test_a_second_start_of_the_same_service_is_refused(layout: StackLayout) -> None:
    process.start(layout, "sleeper", ["sleep", "600"], ENV)
    with pytest.raises(StartFailed, match="sleeper runs already"):
        process.start(layout, "sleeper", ["sleep", "600"], ENV)


def test_a_recycled_pid_is_neither_taken_for_the_service_nor_touched(
    layout: StackLayout, foreign: psutil.Process
) -> None:
    record(layout, "postgres", foreign.pid)
    assert process.leader(layout, "postgres") is None
    assert process.find(layout, "postgres").members == ()
    assert process.stop(layout, "postgres") is False
    assert foreign.is_running()
    assert foreign.status() != psutil.STATUS_ZOMBIE


def test_the_same_service_of_another_stack_is_not_ours(layout: StackLayout, tmp_path: Path) -> None:
    other = StackLayout(layout.cache_dir, tmp_path / "other", layout.env_file, layout.ports)
    pid = process.start(other, "redis", ["sleep", "600"], ENV)
    record(layout, "redis", pid)
    assert process.stop(layout, "redis") is False
    assert process.stop(other, "redis") is True


def test_stop_ends_the_children_too_and_removes_the_record(layout: StackLayout) -> None:
    process.start(layout, "parent", ["sh", "-c", "sleep 600 & sleep 601 & wait"], ENV)
    assert process.stop(layout, "parent") is True
    assert process.find(layout, "parent").members == ()
    assert not layout.pid_file("parent").exists()
    assert process.known(layout) == set()


def test_what_outlives_its_killed_leader_is_found_by_the_mark_and_ended(layout: StackLayout) -> None:
    pid = process.start(layout, "launcher", ["sh", "-c", "sleep 600 & echo started; wait"], ENV)
    child = _only_child(pid)
    psutil.Process(pid).kill()
    process.await_end([psutil.Process(pid)] if psutil.pid_exists(pid) else [], 10)
    owned = process.find(layout, "launcher")
    assert owned.leader is None
    assert [member.pid for member in owned.members] == [child.pid]
    assert process.stop(layout, "launcher") is True
    assert process.find(layout, "launcher").members == ()


def test_a_process_that_ignores_the_signal_is_killed_after_the_grace_period(layout: StackLayout) -> None:
    stubborn = ["sh", "-c", "trap '' TERM INT; echo deaf; while :; do sleep 600; done"]
    pid = process.start(layout, "stubborn", stubborn, ENV)
    _only_child(pid)
    assert process.stop(layout, "stubborn", grace=0.2) is True
    assert process.find(layout, "stubborn").members == ()


def test_a_killed_and_restarted_service_gets_a_new_record(layout: StackLayout) -> None:
    first = process.start(layout, "sleeper", ["sleep", "600"], ENV)
    psutil.Process(first).kill()
    process.stop(layout, "sleeper")
    second = process.start(layout, "sleeper", ["sleep", "600"], ENV)
    assert second != first
    assert process.recorded_pid(layout, "sleeper") == second


def test_a_record_that_is_half_written_counts_as_none(layout: StackLayout) -> None:
    record(layout, "kafka", "")
    assert process.recorded_pid(layout, "kafka") is None
    assert process.leader(layout, "kafka") is None


def _only_child(pid: int) -> psutil.Process:
    """The one child, as soon as the shell has started it."""
    retrying = Retrying(
        wait=wait_fixed(0.01), stop=stop_after_delay(10), retry=retry_if_result(lambda found: len(found) != 1)
    )
    children: list[psutil.Process] = retrying(psutil.Process(pid).children)
    return children[0]
