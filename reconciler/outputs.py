"""Where a run's result goes: a terminal, files, and people far away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from processor.errors import AegisError, ConfigurationError
from processor.output import out, print_json
from processor.output import report as print_error
from processor.settings import NotifySettings, Settings, read_block

if TYPE_CHECKING:
    from reconciler.report import Report

TERMINAL: Final = Path("-")
PLOTTED: Final = 30
"""Past runs in the page's plot: a month of nights."""


@dataclass(frozen=True)
class Outputs:
    """Files to write, if any; `notify`: tell by NOTIFY_URLS of everything but "consistent"."""

    as_json: Path | None = None
    html: Path | None = None
    metrics: Path | None = None
    notify: bool = False

    def check(self) -> None:
        """Before hours of work, not after them.

        Raises:
            ConfigurationError: a file cannot be written, or nobody can be told.
        """
        for option, file in (("--json", self.as_json), ("--html", self.html), ("--metrics", self.metrics)):
            if file is None or file == TERMINAL:
                continue
            try:
                file.open("a").close()
            except OSError as error:
                raise ConfigurationError(f"{option} {file}: {error.strerror}") from error
        if self.notify:
            _check(read_block(NotifySettings))

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Of what ends a run before it has a report, people are told, too."""
        try:
            yield
        except typer.Exit as ended:
            cause = ended.__cause__ or ended.__context__
            hint = f" (next: {cause.hint})" if isinstance(cause, AegisError) and cause.hint else ""
            told = f"{cause}{hint}" if isinstance(cause, AegisError) else type(cause).__name__
            self._notify(None, ended.exit_code, told)
            raise

    def write(self, report: Report, settings: Settings) -> None:
        """To all of them."""
        now = datetime.now(UTC)
        self._write_files(report, settings, now)
        if self.as_json == TERMINAL:
            print_json(report.to_json())
        else:
            _print(report, now)
        self._notify(report, report.exit_code)

    def _write_files(self, report: Report, settings: Settings, now: datetime) -> None:
        from reconciler.history import History

        history = History(settings.postgres)
        if self.as_json is not None and self.as_json != TERMINAL:
            text = json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n"
            self.as_json.write_text(text, "utf-8")
        if self.html is not None:
            from reconciler.page import Page, render

            page = Page(report, history.successes(), history.past(PLOTTED), report.differences, now)
            self.html.write_text(render(page), "utf-8")
        if self.metrics is not None:
            from reconciler.prometheus import write

            write(self.metrics, report, history.successes(), now)

    def _notify(self, report: Report | None, exit_code: int, error: str | None = None) -> None:
        """A failure to tell is told here; the run's own exit code matters more."""
        if not self.notify:
            return
        from processor.notify import notify
        from reconciler.notice import notice_of

        try:
            if notice := notice_of(report, exit_code, error):
                notify(read_block(NotifySettings), notice)
        except AegisError as failed:
            print_error(failed)


def _check(notify: NotifySettings) -> None:
    from processor.notify import check

    if not notify.addresses:
        raise ConfigurationError(
            "--notify, and NOTIFY_URLS names nobody", hint="set NOTIFY_URLS (docs/schedule.md)"
        )
    check(notify)


def _print(report: Report, now: datetime) -> None:
    from reconciler.terminal import lines_of, table_of

    out.print(table_of(report), highlight=False)
    for line in lines_of(report, now):
        out.print(line, highlight=False, markup=False)
    out.print(report.verdict(), highlight=False, style="bold")
