"""Brings nodes of the taxonomy out of a file, one a line (JSON), and reads the tree.

    {"path": ["정책", "창업"], "confidence": 0.9}

One transaction: readers see a version as a whole, a dry run is the same without its end, and a run that is
killed or stopped leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as File
from threading import Event
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from intake.errors import BadPath, Busy, StoppedEarly
from intake.importing import Outcome, Progress, write_chunk
from intake.letters import Letters
from intake.lines import Line, chunks, lines
from intake.paths import MAX_LABEL, MAX_LABELS, Path, path_of
from intake.patience import patiently
from intake.refusals import Refusal, refusal_of_json
from intake.rows import Row
from intake.versions import version_key
from intake.writer import RowWriter
from sql.models import Base, TaxonomyNode
from sql.queries import run

LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '10s'"


def _labels(labels: list[str]) -> list[str]:
    try:
        return list(path_of(labels))
    except BadPath as error:
        raise ValueError(str(error)) from None


class _NodeLine(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    path: Annotated[list[str], AfterValidator(_labels)]
    confidence: float = Field(1.0, ge=0, le=1, allow_inf_nan=False)


RULES: Final = {
    "path": f"is required: a list of up to {MAX_LABELS} labels, each of 1 to {MAX_LABEL} characters",
    "confidence": "must be 0 to 1",
}


class NodeReader:
    """Reads the lines of one version."""

    def __init__(self, version: str) -> None:
        self._version = version

    def __call__(self, line: Line) -> Row | Refusal:
        """The node, or why the line is none."""
        text = line.text()
        if isinstance(text, Refusal):
            return text
        try:
            node = _NodeLine.model_validate_json(text)
        except ValidationError as error:
            return refusal_of_json(error, RULES, "a field is not one of a node: path and confidence are")
        values = {
            "node_id": uuid4(),
            "label": node.path[-1],
            "canonical_path": node.path,
            "version": self._version,
            "confidence": node.confidence,
        }
        return Row(line, values)


@dataclass(slots=True)
class TreeOutcome(Outcome):
    """`ancestors`: nodes that no line states, but that others stand below."""

    version: str = ""
    ancestors: int = 0
    dry_run: bool = False


class TreeImport:
    """One run."""

    def __init__(self, engine: sa.Engine, version: str, file: File, stop: Event, *, dry_run: bool) -> None:
        self._engine = engine
        self._version = version
        self._file = file
        self._stop = stop
        self._dry_run = dry_run

    def run(self, progress: Progress = lambda _done, _total: None) -> TreeOutcome:
        """Import the file; `progress` gets the bytes done, and all there are.

        Raises:
            Busy: another import of the taxonomy is at work.
            StoppedEarly: `stop` was set; nothing was written.
        """
        table = Base.metadata.tables[TaxonomyNode.__tablename__]
        outcome = TreeOutcome(table.name, version=self._version, dry_run=self._dry_run)
        read, letters = NodeReader(self._version), Letters(table.name, self._file.name)
        size = self._file.stat().st_size
        with self._engine.connect() as connection, self._file.open("rb") as opened:
            self._lock(connection)
            writer = RowWriter(connection, table, by_key=True)
            for chunk in chunks(lines(opened)):
                if self._stop.is_set():
                    raise StoppedEarly("stopped: nothing was imported", hint="run the same command again")
                write_chunk(chunk, read, writer, letters, connection, outcome)
                progress(min(opened.tell(), size), size)
            outcome.ancestors = len(run(connection, "add_ancestors", version=self._version).all())
            if not self._dry_run:
                connection.commit()
        return outcome

    def _lock(self, connection: sa.Connection) -> None:
        connection.execute(sa.text(LOCK_TIMEOUT))
        busy = Busy(
            "another import of the taxonomy is at work", hint="wait for its end, then run the same command"
        )
        patiently(lambda: run(connection, "lock_taxonomy"), 1, lambda: busy)


@dataclass(frozen=True, slots=True)
class Shown:
    """A node in its newest version, and the other versions it has, the newest first."""

    path: Path
    version: str
    node_id: UUID
    confidence: float
    other_versions: tuple[str, ...]


def subtree(connection: sa.Connection, path: Path, version: str | None) -> list[Shown]:
    """The nodes at a path and below it (all for the empty one), by path; in `version` or their newest."""
    found: dict[Path, list[Any]] = {}
    for row in run(connection, "taxonomy_subtree", path=list(path), version=version):
        found.setdefault(tuple(row.canonical_path), []).append(row)
    return [_shown(at, rows) for at, rows in sorted(found.items())]


def _shown(path: Path, rows: Iterable[Any]) -> Shown:
    newest, *others = sorted(rows, key=lambda row: version_key(row.version), reverse=True)
    return Shown(
        path, newest.version, newest.node_id, newest.confidence, tuple(row.version for row in others)
    )
