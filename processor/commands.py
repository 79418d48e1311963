"""`aegis process` (also `python -m processor`): run the consumer."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from processor import log
from processor.settings import load_settings

if TYPE_CHECKING:
    from processor.app import Processor

console = Console(stderr=True)


def process(
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="Exit 0 once all that is there now is applied.")
    ] = False,
) -> None:
    """Apply changes from Kafka to all stores until stopped (SIGTERM ends after the batch at hand).

    Example: aegis process --until-caught-up
    """
    from processor.app import Processor
    from processor.build import build
    from processor.health import Server

    settings = load_settings()
    log.configure(settings.processor.service_name, settings.processor.log_level)
    health = Server(settings)
    processor = Processor(settings.processor, lambda stop: build(settings, stop))
    stop_on_signals(lambda _: processor.stop())
    try:
        if until_caught_up:
            _catch_up(processor)
        else:
            processor.run()
    finally:
        processor.close()
        health.close()


def _catch_up(processor: Processor) -> None:
    columns = (TextColumn("catching up"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        done = processor.run(
            until_caught_up=True, progress=lambda n, total: bar.update(task, completed=n, total=total)
        )
    if not done:
        raise typer.Exit(code=1)
    console.print("caught up", highlight=False)


def stop_on_signals(stop: Callable[[int], None]) -> None:
    """Call `stop` with the number of the first SIGTERM or SIGINT; the second ends the process at once."""
    stops = 0

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal stops
        stops += 1
        if stops > 1:  # offsets not stored are read again: stopping at once loses nothing
            os._exit(128 + number)
        stop(number)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
