"""Brings a file of rows into a table: good ones are kept, bad ones recorded, a second time changes nothing.

A transaction for each chunk, with the letters of its bad lines. A killed run leaves whole chunks, and the
same command goes on: rows that are there are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final

import sqlalchemy as sa

from intake.errors import Busy, StoppedEarly
from intake.letters import Bad, Letters
from intake.lines import Line, chunks, lines
from intake.patience import patiently
from intake.refusals import Refusal
from intake.rows import Row, RowReader
from intake.writer import RowWriter
from sql.queries import run

SHOWN: Final = 20
"""Bad lines that the outcome names; all of them are in intake_letters."""

LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '10s'"
ATTEMPTS: Final = 3
"""Of a chunk: so another transaction may hold a row for half a minute."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Outcome:
    """Lines of a file, by what became of them; `problems` are the first bad ones."""

    table: str
    added: int = 0
    present: int = 0
    bad: int = 0
    problems: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """With `problems` as line, code, field (null: the whole line) and reason."""
        return asdict(self)

    def note(self, bad: Sequence[Bad]) -> None:
        """Count bad lines, and name them while there is room."""
        self.bad += len(bad)
        for each in bad[: SHOWN - len(self.problems)]:
            self.problems.append({"line": each.line.number, **asdict(each.refusal)})


class RowImport:
    """One run."""

    def __init__(self, engine: sa.Engine, table: sa.Table, file: Path, stop: Event) -> None:
        self._engine = engine
        self._table = table
        self._file = file
        self._stop = stop
        self._read = RowReader(table)
        self._letters = Letters(table.name, file.name, self._read.kept)

    def run(self, progress: Progress = lambda _done, _total: None) -> Outcome:
        """Import the file; `progress` gets the bytes done, and all there are.

        Raises:
            Busy: other transactions hold rows that it needs; the chunks before stay.
            StoppedEarly: `stop` was set; the chunks before stay.
        """
        outcome = Outcome(self._table.name)
        size = self._file.stat().st_size
        with self._engine.connect() as connection, self._file.open("rb") as opened:
            for chunk in chunks(lines(opened)):
                if self._stop.is_set():
                    raise StoppedEarly(
                        f"stopped: {outcome.added} rows of {self._table.name} were added",
                        hint="run the same command again: it goes on from there",
                    )
                work = partial(self._write, connection, chunk, outcome)
                patiently(work, ATTEMPTS, lambda: self._busy(outcome))
                progress(min(opened.tell(), size), size)
        return outcome

    def _write(self, connection: sa.Connection, chunk: Sequence[Line], outcome: Outcome) -> None:
        with connection.begin():
            connection.execute(sa.text(LOCK_TIMEOUT))
            # two imports of the same rows in another order would wait for each other
            run(connection, "lock_import", table=self._table.name)
            writer = RowWriter(connection, self._table)
            write_chunk(chunk, self._read, writer, self._letters, connection, outcome)

    def _busy(self, outcome: Outcome) -> Busy:
        return Busy(
            f"other transactions hold rows of {self._table.name}; {outcome.added} rows were added",
            hint="end them, then run the same command again: it goes on from there",
        )


def write_chunk(
    chunk: Sequence[Line],
    read: Callable[[Line], Row | Refusal],
    writer: RowWriter,
    letters: Letters,
    connection: sa.Connection,
    outcome: Outcome,
) -> None:
    """Write the rows of these lines, and letters for those that are none, in the caller's transaction.

    `outcome` is changed last, so that what fails before can be tried again.
    """
    read_lines = [(line, read(line)) for line in chunk]
    rows = [row for _, row in read_lines if isinstance(row, Row)]
    bad = [Bad(line, refusal) for line, refusal in read_lines if isinstance(refusal, Refusal)]
    written = writer.write(rows)
    bad = sorted((*bad, *written.bad), key=lambda each: each.line.number)
    letters.write(connection, bad)
    letters.settle(connection, [row.line for row in (*written.added, *written.present)])
    outcome.added += len(written.added)
    outcome.present += len(written.present)
    outcome.note(bad)
