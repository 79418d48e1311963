"""One server in a stack of the test's own, to be starved, frozen and killed; removed at its end."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ops.stack import process, supervisor
from ops.stack.credentials import load_credentials
from ops.stack.environment import endpoints
from ops.stack.layout import StackLayout, load_layout
from ops.stack.ports import MARK_PORTS, port_mark
from ops.stack.server import Context
from ops.stack.servers import OPTIONAL, SERVERS


class ScratchServer:
    """A service of `aegis stack`, on a port of its own."""

    def __init__(self, service: str, folder: Path) -> None:
        own = load_layout()
        self._service = service
        self._server = (SERVERS | OPTIONAL)[service]
        ports = own.ports | {name: free_port() for name in self._server.ports}
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

    @property
    def folder(self) -> Path:
        """Its data and its rendered configuration."""
        return self._layout.data(self._service)

    def restart_with(self, file: str, text: str) -> None:
        """Start it again with other settings in a file of its configuration; the next start is without.

        Lines `name=value` replace those of the same name.
        """
        process.stop(self._layout, self._service)
        path = self.folder / file
        mine = {line.partition("=")[0] for line in text.splitlines() if "=" in line}
        kept = [line for line in path.read_text().splitlines() if line.partition("=")[0] not in mine]
        path.write_text("\n".join([*kept, text, ""]))
        command = self._server.command(Context(self._layout, load_credentials(self._layout)))
        mark = {MARK_PORTS: port_mark(self._server, self._layout)}
        process.start(
            self._layout,
            self._service,
            command.argv,
            {**command.env, **mark},
            cwd=command.cwd,
            unprivileged=self._server.unprivileged,
        )
        self.up()

    def stop(self) -> None:
        """End it in good order; it keeps its data."""
        process.stop(self._layout, self._service)

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
    """A port that nobody listens on, below those of outgoing connections: one of them could take it while a
    server is down.
    """
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def scratch_server(service: str, disk_mb: int | None = None) -> Iterator[ScratchServer]:
    """The server, up; on a disk of its own where a size is given."""
    with own_folder() as folder, small_disk(folder, disk_mb) if disk_mb else nullcontext():
        folder.chmod(0o755)  # as root, the servers that run as `nobody` must be able to enter it
        server = ScratchServer(service, folder)
        try:
            server.up()
            yield server
        finally:
            server.reset()


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="aegis-test-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[None]:
    """A file system of that size, in memory; skips the test where it may not be mounted."""
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
    mounted = subprocess.run(argv, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full_disk(server: ScratchServer) -> Iterator[None]:
    """The disk that the server writes to has no room left."""
    ballast = server.folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass
    try:
        yield
    finally:
        ballast.unlink()
