from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from ops.stack.ports import holder, require_free
from ops.stack.process import StartFailed


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_holder_and_the_settings_that_change_it(taken: int) -> None:
    with pytest.raises(StartFailed) as caught:
        require_free("registry", "registry_management", taken)
    assert f"registry cannot start: port {taken} is in use by process {os.getpid()}: " in str(caught.value)
    assert "AEGIS_REGISTRY_MANAGEMENT_PORT" in (caught.value.hint or "")
    assert "AEGIS_PORT_OFFSET=100" in (caught.value.hint or "")


def test_a_port_is_taken_also_by_a_server_that_listens_on_all_addresses() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104  that is what is tested
        server.listen()
        with pytest.raises(StartFailed, match="in use"):
            require_free("redis", "redis", server.getsockname()[1])


def test_a_free_port_passes(taken: int) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        free = server.getsockname()[1]
    assert free != taken
    require_free("redis", "redis", free)


def test_a_holder_that_cannot_be_seen_is_described_as_such() -> None:
    assert holder(1) == "a process of another user"
