"""One server in a stack of the test's own, to be starved, frozen and killed; removed at its end."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from ops.stack import process, supervisor
from ops.stack.credentials import load_credentials
from ops.stack.environment import endpoints
from ops.stack.layout import StackLayout, load_layout


class ScratchServer:
    """A service of `aegis stack`, on a port of its own."""

    def __init__(self, service: str, folder: Path) -> None:
        own = load_layout()
        ports = own.ports | {service: free_port()}
        self._service = service
        self._layout = replace(own, state_dir=folder, env_file=folder / "endpoints", ports=ports)

    @property
    def endpoints(self) -> dict[str, str]:
        """What `aegis stack up` writes: REDIS_URL and so on."""
        return endpoints(self._layout, load_credentials(self._layout))

    @property
    def url(self) -> str:
        """Of a service that speaks HTTP or gRPC."""
        return self._layout.url(self._service)

    @property
    def process(self) -> psutil.Process:
        """The running server."""
        leader = process.leader(self._layout, self._service)
        assert leader is not None
        return leader

    def up(self) -> None:
        """Start it where it does not run; it keeps its port and its data."""
        supervisor.up(self._layout, [self._service])

    def kill(self) -> None:
        """As by a loss of power; wait until it is gone."""
        kill(self._layout, self._service)

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        freeze(self._layout, self._service)

    def thaw(self) -> None:
        """Undo `freeze`."""
        thaw(self._layout, self._service)

    def reset(self) -> None:
        """End it and delete its data."""
        supervisor.reset(self._layout)


def kill(layout: StackLayout, service: str) -> None:
    """End a server as by a loss of power; wait until it is gone."""
    members = process.find(layout, service).members
    for member in members:
        member.kill()
    assert process.await_end(members, 30) == []


def freeze(layout: StackLayout, service: str) -> None:
    """Let a server keep its connections and answer nothing."""
    for member in process.find(layout, service).members:
        member.suspend()


def thaw(layout: StackLayout, service: str) -> None:
    """Undo `freeze`."""
    for member in process.find(layout, service).members:
        member.resume()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def scratch_server(service: str) -> Iterator[ScratchServer]:
    """The server, up."""
    folder = Path(tempfile.mkdtemp(prefix="aegis-test-"))
    folder.chmod(0o755)  # as root, the servers that run as `nobody` must be able to enter it
    server = ScratchServer(service, folder)
    try:
        server.up()
        yield server
    finally:
        server.reset()
        shutil.rmtree(folder)
