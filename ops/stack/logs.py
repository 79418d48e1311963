"""Show a service's log file."""

from __future__ import annotations

import sys
import threading

from ops.stack.install import tail
from ops.stack.layout import StackLayout
from processor.errors import ConfigurationError


def show(layout: StackLayout, service: str, *, lines: int, follow: bool) -> None:
    """Write the last lines of the service's log to stdout; with `follow`, go on until interrupted.

    Raises:
        ConfigurationError: the service has no log.
    """
    file = layout.log_file(service)
    if not file.exists():
        logs = sorted(log.stem for log in file.parent.glob("*.log"))
        raise ConfigurationError(
            f"{service!r} has no log" + ("; there are: " + ", ".join(logs) if logs else ""),
            hint="aegis stack status",
        )
    size = file.stat().st_size
    sys.stdout.write(tail(file, lines) + "\n")
    if not follow:
        return
    pause = threading.Event()
    with file.open(errors="replace") as handle:
        handle.seek(size)
        while True:
            sys.stdout.write(handle.read())
            sys.stdout.flush()
            pause.wait(0.3)
