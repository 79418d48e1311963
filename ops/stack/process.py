"""Start, recognise and end processes that outlive the command which started them.

A process belongs to us when its environment holds our mark, `AEGIS_SERVICE=<state dir>/<service>`. The
recorded pid alone proves nothing: after a crash or reboot the number may be somebody else's process.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from tenacity import RetryError, retry, retry_if_result, stop_after_delay, wait_fixed

from ops.stack.layout import StackLayout
from ops.stack.privileges import as_nobody
from processor.errors import AegisError

MARK = "AEGIS_SERVICE"
GRACE_SECONDS = 30.0
"""Kafka, Connect and Neo4j flush for several seconds after SIGTERM; killed earlier they must recover."""

_LOG_BYTES = 32 * 1024 * 1024
# The process records itself before it becomes the server: a command killed between fork and record would
# otherwise leave a server that nobody knows.
_RECORD = 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@"'


class StartFailed(AegisError):
    """A local server could not be installed or started, or does not answer."""


@dataclass(frozen=True)
class Owned:
    """The live processes of one service: the one recorded, and all that carry its mark or descend from it."""

    leader: psutil.Process | None
    members: tuple[psutil.Process, ...]


def mark(layout: StackLayout, service: str) -> str:
    """Value of the environment variable by which a process of this service is recognised."""
    return str(layout.data(service))


def start(
    layout: StackLayout,
    service: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    unprivileged: bool = False,
) -> int:
    """Start a process in a session of its own and return its pid; output goes to the service's log file.

    Args:
        layout: the stack that the process belongs to.
        service: name under which it is recorded; `stop`, `status` and `logs` take the same.
        argv: program and arguments.
        env: the whole environment of the process.
        cwd: folder it runs in.
        unprivileged: as root, run as `nobody`.

    Raises:
        StartFailed: the service runs already, or its process did not even record itself.
    """
    if leader(layout, service):
        raise StartFailed(f"{service} runs already", hint="aegis stack down, or leave it as it is")
    pid_file, log_file = layout.pid_file(service), layout.log_file(service)
    pid_file.parent.mkdir(parents=True, exist_ok=True)
    # Servers log statements that failed, and such a statement may hold a password.
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pid_file.unlink(missing_ok=True)
    if log_file.exists() and log_file.stat().st_size > _LOG_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))
    prefix = as_nobody() if unprivileged else []
    with log_file.open("ab") as log:
        # `setsid --fork` returns at once and init adopts the server: no zombies, no terminal signals.
        subprocess.run(
            ["setsid", "--fork", "/bin/sh", "-c", _RECORD, str(pid_file), *prefix, *argv],
            env={**env, MARK: mark(layout, service)},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )
    return _await_record(layout, service)


def find(layout: StackLayout, service: str) -> Owned:
    """All live processes of the service, whoever started them and whether or not they were recorded."""
    mine = {process.pid: process for process in psutil.process_iter() if _has_mark(process, layout, service)}
    leader = mine.get(recorded_pid(layout, service) or 0)
    if leader:
        with contextlib.suppress(psutil.Error):
            mine.update({child.pid: child for child in leader.children(recursive=True)})
    return Owned(leader, tuple(mine.values()))


def leader(layout: StackLayout, service: str) -> psutil.Process | None:
    """The recorded process, if it is alive and really the service's: the quick form of `find`."""
    pid = recorded_pid(layout, service)
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        _await_environment(process)
    except (psutil.Error, OSError):
        return None
    return process if _has_mark(process, layout, service) else None


def stop(
    layout: StackLayout, service: str, *, sig: signal.Signals = signal.SIGTERM, grace: float = GRACE_SECONDS
) -> bool:
    """End the service's processes: `sig`, `grace` seconds, then SIGKILL. False when there were none."""
    owned = find(layout, service)
    # The leader ends its children in its own order; what it leaves behind gets the signal after it.
    for group in ([owned.leader] if owned.leader else [], owned.members):
        for process in group:
            with contextlib.suppress(psutil.Error):
                process.send_signal(sig)
        if await_end(group, grace):
            break
    _kill(layout, service, owned.members)
    layout.pid_file(service).unlink(missing_ok=True)
    return bool(owned.members)


def await_end(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until the processes have ended, at most `seconds`; return those that have not.

    One that waits to be reaped counts as ended: in a container pid 1 may never reap it.
    """

    @retry(
        wait=wait_fixed(0.05),
        stop=stop_after_delay(seconds),
        retry=retry_if_result(bool),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else [],
    )
    def alive() -> list[psutil.Process]:
        return [process for process in processes if _is_alive(process)]

    return alive()


def known(layout: StackLayout) -> set[str]:
    """Names of all services that have a record or a live process."""
    names = {file.stem for file in layout.pid_file("x").parent.glob("*.pid")}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            marked = Path(process.environ().get(MARK, "/"))
            if marked.parent == layout.state_dir:
                names.add(marked.name)
    return names


def recorded_pid(layout: StackLayout, service: str) -> int | None:
    """The pid in the service's record, alive or not."""
    try:
        return int(layout.pid_file(service).read_text())
    except (OSError, ValueError):
        return None


def memory_mb(process: psutil.Process) -> int:
    """Memory of a process and its descendants in MB; shared pages count once (PSS) where that can be read."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += _memory(each)
    return round(total / 1024**2)


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, AttributeError):
        return int(process.memory_info().rss)


def _kill(layout: StackLayout, service: str, members: Iterable[psutil.Process]) -> None:
    """SIGKILL until none is left: a parent may start a child between its child's end and its own."""
    rest = [process for process in members if _is_alive(process)]
    for _ in range(10):
        for process in rest:
            with contextlib.suppress(psutil.Error):
                process.kill()
        await_end(rest, 5)
        rest = list(find(layout, service).members)
        if not rest:
            return


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _has_mark(process: psutil.Process, layout: StackLayout, service: str) -> bool:
    try:
        return process.environ().get(MARK) == mark(layout, service) and _is_alive(process)
    except (psutil.Error, OSError):
        return False


@retry(
    wait=wait_fixed(0.01), stop=stop_after_delay(1), retry=retry_if_result(bool), retry_error_callback=bool
)
def _await_environment(process: psutil.Process) -> bool:
    """While the kernel replaces the starting shell by a server, which it may have to read, there is none."""
    return not process.environ() and _is_alive(process)


def _await_record(layout: StackLayout, service: str) -> int:
    @retry(wait=wait_fixed(0.01), stop=stop_after_delay(10), retry=retry_if_result(lambda pid: pid is None))
    def read() -> int | None:
        return recorded_pid(layout, service)

    try:
        pid = read()
    except RetryError:
        pid = None
    if pid is None:
        raise StartFailed(
            f"{service} did not start at all; log: {layout.log_file(service)}",
            hint=f"aegis stack logs {service}",
        )
    return pid
