"""Whether a port is free, and who holds it if not; whether a running server has the ports that it should."""

from __future__ import annotations

import contextlib
import socket

import psutil

from ops.stack.layout import StackLayout
from ops.stack.process import StartFailed
from ops.stack.server import Server

MARK_PORTS = "AEGIS_PORTS"
"""Environment variable of a server's process: the ports that it was started with."""


def require_free(service: str, setting: str, port: int) -> None:
    """Refuse to start a server whose port is taken.

    Raises:
        StartFailed: names the port, its holder if that can be known, and the settings to change.
    """
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartFailed(
                f"{service} cannot start: port {port} is in use by {holder(port)} ({error.strerror})",
                hint=f"end that process, or set AEGIS_{setting.upper()}_PORT (AEGIS_PORT_OFFSET=100 moves "
                "all) in the environment or in .env; then: aegis stack up",
            ) from None


def require_unmoved(server: Server, leader: psutil.Process, layout: StackLayout) -> None:
    """Refuse to wait for a running server where it does not listen: the settings changed after its start.

    Raises:
        StartFailed: names the ports that it has and those that it should have.
    """
    try:
        actual = leader.environ().get(MARK_PORTS)
    except (psutil.Error, OSError):
        return
    wanted = port_mark(server, layout)
    if actual not in (None, wanted):
        raise StartFailed(
            f"{server.name} runs on port {actual}, but the settings now say {wanted}",
            hint="aegis stack down; aegis stack up",
        )


def port_mark(server: Server, layout: StackLayout) -> str:
    """What the server's environment says about its ports."""
    return ",".join(str(layout.ports[port]) for port in server.ports)


def holder(port: int) -> str:
    """Describe the process that listens on the port."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid}: {command[:120]}"
    return "a process of another user"
