"""Progress of all servers at once: a live table on a terminal, a line per change elsewhere."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from rich.live import Live
from rich.table import Table

from processor.output import err


class Board:
    """What each service is doing and for how long; used by many threads."""

    def __init__(self, services: list[str]) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._state = dict.fromkeys(services, "waiting")
        self._since = dict.fromkeys(services, self._began)
        self._ended: dict[str, float] = {}
        self._live = Live(get_renderable=self._table, console=err, refresh_per_second=4, transient=True)
        self._stop = threading.Event()
        self._reminder = threading.Thread(target=self._remind, daemon=True)

    def __enter__(self) -> Board:
        if err.is_terminal:
            self._live.start()
        else:
            self._reminder.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if err.is_terminal:
            self._live.stop()

    def show(self, service: str, state: str) -> None:
        """The service is at this now, for example "downloading"."""
        with self._lock:
            if self._state[service] == state:
                return
            # "downloading, 12 files" continues "downloading": same clock, no line of its own.
            same = self._state[service].partition(",")[0] == state.partition(",")[0]
            self._state[service] = state
            if same:
                return
            self._since[service] = time.monotonic()
        if not err.is_terminal:
            err.print(f"{service}: {state}", highlight=False)

    def end(self, service: str, state: str) -> None:
        """The service's last word, for example "ready"."""
        with self._lock:
            self._state[service] = state
            self._ended[service] = time.monotonic()
        err.print(f"{service}: {state} after {self._seconds(service):.1f} s", highlight=False)

    def _seconds(self, service: str) -> float:
        return self._ended.get(service, time.monotonic()) - self._began

    def _table(self) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False)
        with self._lock:
            for service, state in self._state.items():
                if service not in self._ended:
                    table.add_row(service, state, f"{time.monotonic() - self._since[service]:.0f} s")
        return table

    def _remind(self) -> None:
        """Without a terminal a silent minute looks like a hang: say every ten seconds what is awaited."""
        while not self._stop.wait(10):
            with self._lock:
                open_ = [
                    f"{name} ({state})" for name, state in self._state.items() if name not in self._ended
                ]
            if open_:
                err.print("waiting for " + ", ".join(open_), highlight=False)
