"""Bring the servers up in the order of their needs, many at a time, and down in the reverse."""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait

from tenacity import (
    RetryError,
    Retrying,
    retry_if_not_exception_type,
    stop_after_delay,
    stop_when_event_set,
    wait_fixed,
)

from ops.stack import checkout, install, process
from ops.stack.board import Board
from ops.stack.credentials import load_credentials
from ops.stack.environment import write_env_file
from ops.stack.layout import StackLayout
from ops.stack.ports import MARK_PORTS, port_mark, require_free, require_unmoved
from ops.stack.process import StartFailed
from ops.stack.server import Context, Server
from ops.stack.servers import OPTIONAL, SERVERS, select
from processor.errors import AegisError
from processor.output import err


def up(layout: StackLayout, names: Iterable[str] = ()) -> None:
    """Start the named servers and those they need (all for no name) and wait until each answers.

    A server that runs already is left alone; one that was killed is started anew over its data.

    Raises:
        ConfigurationError: a tool is missing; nothing was downloaded or started.
        StartFailed: a server could not be installed or started, or does not answer. The others stay up.
    """
    servers = select(names)
    for server in servers:
        server.check()
    with only_command(layout):
        _begin_anew(layout)
        credentials = load_credentials(layout)
        write_env_file(layout, credentials)
        with Board([server.name for server in servers]) as board:
            _Starter(Context(layout, credentials), board).run(servers)


def down(layout: StackLayout, names: Sequence[str] = ()) -> list[str]:
    """End the named services and those that need them (all for no name); return those that ran."""
    with only_command(layout):
        return _down(layout, names)


def reset(layout: StackLayout) -> None:
    """End everything and delete data, logs and passwords of this stack; the downloads stay."""
    with only_command(layout):
        _reset(layout)


@contextlib.contextmanager
def only_command(layout: StackLayout) -> Iterator[None]:
    """Let one command at a time change the stack."""

    @functools.cache
    def say() -> None:
        err.print("another `aegis stack` command is at work here: waiting for it", highlight=False)

    with install.locked(layout.state_dir / "stack.lock", say):
        yield


class _Starter:
    """One `up`: a thread per server, each waiting for the threads of those that it needs."""

    def __init__(self, context: Context, board: Board) -> None:
        self._context = context
        self._layout = context.layout
        self._board = board
        self._cancelled = threading.Event()

    def run(self, servers: list[Server]) -> None:
        futures: dict[str, Future[None]] = {}
        with ThreadPoolExecutor(len(servers)) as pool:
            try:
                for server in servers:
                    needs = [futures[name] for name in server.needs]
                    futures[server.name] = pool.submit(self._bring_up, server, needs)
                wait(futures.values())
            except BaseException:
                self._cancelled.set()
                raise
        _raise_failures({name: future.exception() for name, future in futures.items()})

    def _bring_up(self, server: Server, needs: list[Future[None]]) -> None:
        try:
            running = process.leader(self._layout, server.name)
            if running:
                require_unmoved(server, running, self._layout)
            else:
                self._install(server)
            self._await_needs(server, needs)
            if not running:
                self._start(server)
            self._show(server, "waiting for its answer")
            self._await_answer(server)
            server.finish(self._context)
        except BaseException:
            self._board.end(server.name, "interrupted" if self._cancelled.is_set() else "failed")
            raise
        self._board.end(server.name, "already running" if running else "ready")

    def _show(self, server: Server, state: str) -> None:
        """Report what comes next, unless the user has interrupted the command."""
        if self._cancelled.is_set():
            raise CancelledError
        self._board.show(server.name, state)

    def _await_needs(self, server: Server, needs: list[Future[None]]) -> None:
        if not all(need.done() for need in needs):
            self._show(server, "waiting for " + " and ".join(server.needs))
        wait(needs)
        for name, need in zip(server.needs, needs, strict=True):
            if need.exception():
                raise StartFailed(f"{server.name} was not started, because {name} failed")

    def _install(self, server: Server) -> None:
        # First what can be known at once: a taken port is worth no download.
        process.stop(self._layout, server.name)
        for port in server.ports:
            require_free(server.name, port, self._layout.ports[port])
        for recipe in server.recipes:
            install.ensure(self._layout, recipe, lambda state: self._show(server, state))

    def _start(self, server: Server) -> None:
        self._show(server, "starting")
        server.prepare(self._context)
        command = server.command(self._context)
        process.start(
            self._layout,
            server.name,
            command.argv,
            {**command.env, MARK_PORTS: port_mark(server, self._layout)},
            cwd=command.cwd,
            unprivileged=server.unprivileged,
        )

    def _await_answer(self, server: Server) -> None:
        name, log = server.name, self._layout.log_file(server.name)

        def probe() -> None:
            if process.leader(self._layout, name) is None:
                raise StartFailed(
                    f"{name} ended while starting; the end of {log}:\n{install.tail(log, 15)}",
                    hint=f"aegis stack logs {name} -n 200",
                )
            server.probe(self._context)

        seconds = self._layout.start_seconds
        retrying = Retrying(
            retry=retry_if_not_exception_type(AegisError),
            stop=stop_after_delay(seconds) | stop_when_event_set(self._cancelled),
            wait=wait_fixed(0.2),
        )
        try:
            retrying(probe)
        except RetryError as error:
            raise StartFailed(
                f"{name} does not answer after {seconds:.0f} s ({error.last_attempt.exception()}); "
                f"the end of {log}:\n{install.tail(log, 15)}",
                hint=f"aegis stack down {name}; aegis stack up (or more time: AEGIS_START_SECONDS)",
            ) from None


def _raise_failures(outcomes: dict[str, BaseException | None]) -> None:
    failures = [error for error in outcomes.values() if error]
    for error in failures:
        if not isinstance(error, AegisError):
            raise error
    if failures:
        hint = next((error.hint for error in failures if isinstance(error, AegisError) and error.hint), None)
        # Two servers may share what failed: say it once.
        raise StartFailed("\n".join(dict.fromkeys(str(error) for error in failures)), hint=hint)


def _begin_anew(layout: StackLayout) -> None:
    """Servers and data of an earlier checkout in the same place are not this one's."""
    if checkout.is_predecessors(layout):
        err.print(f"{layout.state_dir} is of an earlier checkout: its servers and data go", highlight=False)
        _reset(layout)
    checkout.claim(layout)


def _reset(layout: StackLayout) -> None:
    _down(layout, ())
    # By name: AEGIS_STACK_DIR may point to a folder that holds other things, too.
    folders = (layout.log_file("x").parent, layout.pid_file("x").parent)
    for folder in (*map(layout.data, SERVERS | OPTIONAL), *folders):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (layout.env_file, layout.credentials_file):
        file.unlink(missing_ok=True)


def _down(layout: StackLayout, names: Sequence[str]) -> list[str]:
    """Programs that use the servers first, then the servers, each after those that need it."""
    chosen = _with_dependents(layout, names)
    servers = SERVERS | OPTIONAL
    programs = [name for name in chosen if name not in servers]
    ended = [name for name in programs if process.stop(layout, name)]
    futures: dict[str, Future[bool]] = {}

    def end(server: Server, dependents: list[Future[bool]]) -> bool:
        wait(dependents)
        ran = process.stop(layout, server.name, sig=server.stop_signal)
        if ran:
            err.print(f"{server.name}: ended", highlight=False)
        return ran

    with ThreadPoolExecutor(len(servers)) as pool:
        for server in reversed(servers.values()):
            if server.name in chosen:
                dependents = [futures[name] for name in futures if server.name in servers[name].needs]
                futures[server.name] = pool.submit(end, server, dependents)
    return ended + [name for name, future in futures.items() if future.result()]


def _with_dependents(layout: StackLayout, names: Sequence[str]) -> set[str]:
    if not names:
        return {*SERVERS, *process.known(layout)}
    select(name for name in names if name not in process.known(layout))
    chosen = set(names)
    for server in SERVERS.values():
        if chosen.intersection(server.needs):
            chosen.add(server.name)
    return chosen
