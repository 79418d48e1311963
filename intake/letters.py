"""Lines that could not become rows are kept as letters, one for a line however often it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from intake.lines import KEPT_BYTES, Line, id_of
from intake.refusals import Refusal
from sql.models import Base, IntakeLetter

LETTERS = Base.metadata.tables[IntakeLetter.__tablename__]


@dataclass(frozen=True, slots=True)
class Bad:
    """A line and why it is bad."""

    line: Line
    refusal: Refusal


class Letters:
    """The letters of one file for one table."""

    def __init__(self, table: str, file: str, kept: Callable[[Line], bytes] = lambda line: line.raw) -> None:
        """`kept`: what of a line may be kept."""
        self._table = table
        self._file = file
        self._kept = kept

    def write(self, connection: sa.Connection, bad: Sequence[Bad]) -> None:
        """Keep these lines; of one that was kept before count the attempts, and keep the last reason."""
        rows = {self._id(each.line): self._row(each) for each in bad}
        if not rows:
            return
        new = insert(LETTERS)
        again = {"attempts": LETTERS.c.attempts + 1} | {
            name: new.excluded[name] for name in ("raw_record", "code", "field", "reason")
        }
        statement = new.on_conflict_do_update(index_elements=["id"], set_=again).returning(LETTERS.c.id)
        connection.execute(statement, [{"id": key, **row} for key, row in rows.items()]).all()

    def settle(self, connection: sa.Connection, good: Iterable[Line]) -> None:
        """Forget the letters of lines that have become rows since."""
        ids = [self._id(line) for line in good]
        connection.execute(sa.delete(LETTERS).where(LETTERS.c.id == sa.any_(sa.bindparam("ids", ids, _IDS))))

    def _id(self, line: Line) -> UUID:
        return id_of(self._table.encode(), line.raw, str(line.size).encode())

    def _row(self, bad: Bad) -> dict[str, Any]:
        kept = self._kept(bad.line)[:KEPT_BYTES]
        reason = f"{bad.refusal} ({self._table}, line {bad.line.number} of {self._file}"
        if len(kept) < len(bad.line.raw) or len(bad.line.raw) < bad.line.size:
            reason += f"; {len(kept)} bytes of its {bad.line.size} are kept"
        return {
            "raw_record": kept,
            "code": bad.refusal.code,
            "field": bad.refusal.field,
            "reason": f"{reason})",
        }


_IDS = sa.ARRAY(sa.Uuid)
