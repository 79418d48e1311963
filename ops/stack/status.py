"""What runs, and whether it answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from ops.stack import process
from ops.stack.credentials import load_credentials
from ops.stack.layout import StackLayout
from ops.stack.server import Context
from ops.stack.servers import SERVERS

State = Literal["running", "unhealthy", "crashed", "stopped"]


@dataclass(frozen=True)
class ServiceStatus:
    """One service. `memory_mb` includes its children; `health` is "ok", why it does not answer, or None."""

    service: str
    state: State
    pid: int | None
    port: int | None
    memory_mb: int | None
    health: str | None


def status(layout: StackLayout) -> list[ServiceStatus]:
    """All servers, and the programs started beside them; asks each live server a question."""
    programs = sorted(process.known(layout) - SERVERS.keys())
    with ThreadPoolExecutor(len(SERVERS)) as pool:
        return list(pool.map(lambda name: _status(layout, name), [*SERVERS, *programs]))


def _status(layout: StackLayout, service: str) -> ServiceStatus:
    port = layout.ports.get(service)
    leader = process.leader(layout, service)
    if leader is None:
        crashed = process.recorded_pid(layout, service) is not None
        return ServiceStatus(service, "crashed" if crashed else "stopped", None, port, None, None)
    health = _health(layout, service)
    state: State = "running" if health in ("ok", None) else "unhealthy"
    return ServiceStatus(service, state, leader.pid, port, process.memory_mb(leader), health)


def _health(layout: StackLayout, service: str) -> str | None:
    server = SERVERS.get(service)
    if server is None:
        return None
    try:
        server.probe(Context(layout, load_credentials(layout)))
    except Exception as error:  # any client's any error means the same here
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return "ok"
