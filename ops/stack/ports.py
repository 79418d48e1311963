"""Whether a port is free, and who holds it if not."""

from __future__ import annotations

import contextlib
import socket

import psutil

from ops.stack.process import StartFailed


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
                hint=f"end that process, or set AEGIS_{setting.upper()}_PORT (AEGIS_PORT_OFFSET=1000 moves "
                "all) in the environment or in .env; then: aegis stack up",
            ) from None


def holder(port: int) -> str:
    """Describe the process that listens on the port."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            local = connection.laddr
            if connection.status == psutil.CONN_LISTEN and local and local.port == port and connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid}: {command[:120]}"
    return "a process of another user"
