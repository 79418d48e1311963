"""How far a run has come, on a terminal."""

from __future__ import annotations

from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from processor.output import err


class Bar:
    """A line with progress and the time that is left, on a terminal."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._task: TaskID | None = None

    def begin(self, table: str, rows: int | None) -> None:
        """The next table."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(table, total=rows)

    def seen(self, rows: int) -> None:
        """So many rows more."""
        if self._task is not None:
            self._bar.advance(self._task, rows)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
