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
                _probe(file)
            except OSError as error:
                hint = f"make its folder, or give {option} another one"
                raise ConfigurationError(f"{option} {file}: {error.strerror}", hint=hint) from error
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
        """To all of them.

        Raises:
            ConfigurationError: a file could not be written, of a run that found nothing: its own code else.
        """
        now = datetime.now(UTC)
        if self.as_json == TERMINAL:
            print_json(report.to_json())
        else:
            _print(report, now)
        self._notify(report, report.exit_code)
        try:
            self._write_files(report, settings, now)
        except (OSError, AegisError) as error:
            told = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            failed = ConfigurationError(told, hint="the run itself is kept: aegis reconcile status")
            if not report.exit_code:
                raise failed from error
            print_error(failed)

    def _write_files(self, report: Report, settings: Settings, now: datetime) -> None:
        from reconciler.history import History

        history = History(settings.postgres)
        if self.as_json is not None and self.as_json != TERMINAL:
            _replace(self.as_json, json.dumps(report.to_json(), ensure_ascii=False, indent=2) + "\n")
        if self.html is not None:
            from reconciler.page import Page, render

            page = Page(report, history.successes(), history.past(PLOTTED), report.differences, now)
            _replace(self.html, render(page))
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
        except ConfigurationError as failed:
            if str(failed) not in (error or ""):  # it is told already as what ended the run
                print_error(failed)
        except AegisError as failed:
            print_error(failed)


def _probe(file: Path) -> None:
    """Raise what `_replace` would raise."""
    if file.exists() and not file.is_file():
        file.open("a").close()
        return
    new = _beside(file.resolve())
    new.open("w").close()
    new.unlink()


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.new")


def _replace(file: Path, text: str) -> None:
    """Nobody reads half of it; a pipe or a terminal takes it as it comes."""
    if file.exists() and not file.is_file():
        file.write_text(text, "utf-8")
        return
    file = file.resolve()
    new = _beside(file)
    new.write_text(text, "utf-8")
    new.replace(file)


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
