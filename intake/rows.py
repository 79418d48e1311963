"""From a line of JSON to a row of a table, by the types of its columns. Pure.

PostgreSQL enforces the rules of the tables. What is checked here is what it would not say the field of:
types, lengths, NUL characters; and that there is such a column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from intake.columns import type_and_rule
from intake.lines import Line, id_of
from intake.refusals import VALIDATION, Refusal, refusal_of_json
from sql.models import Base

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "policies": {"status": "pending_validation", "is_active": True, "quality_score": 0.0},
    "doc_taxonomy": {"version": "1.0.0"},
}
"""By table: what a row holds when its line does not say; a policy waits for validation."""


@dataclass(frozen=True, slots=True)
class Row:
    """Values by column; `made`: columns that the line says nothing of."""

    line: Line
    values: dict[str, Any]
    made: frozenset[str] = frozenset()


class RowReader:
    """Reads the lines of one table."""

    def __init__(self, table: sa.Table) -> None:
        self._table = table
        found = {column.name: type_and_rule(column) for column in table.columns}
        columns = {name: kind for name, kind in found.items() if kind is not None}
        fields: Any = {name: (kind | None, None) for name, (kind, _) in columns.items()}
        config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
        self._model: type[BaseModel] = create_model(table.name, __config__=config, **fields)
        self._rules = {name: rule for name, (_, rule) in columns.items()}
        self._unknown = f"a field cannot be imported: the columns of {table.name} are {', '.join(columns)}"

    def __call__(self, line: Line) -> Row | Refusal:
        """The row, or why the line is none; `null` is as good as not given."""
        text = line.text()
        if isinstance(text, Refusal):
            return text
        try:
            read = self._model.model_validate_json(text)
        except ValidationError as error:
            return refusal_of_json(error, self._rules, self._unknown)
        given = {name: value for name, value in read if value is not None}
        if not given:
            return Refusal(VALIDATION, None, "holds no value")
        made = {**DEFAULTS.get(self._table.name, {}), **self._key(read)}
        made = {name: value for name, value in made.items() if name not in given}
        return Row(line, given | made, frozenset(made))

    def _key(self, read: BaseModel) -> dict[str, Any]:
        """An id where none is given: the same for the same row, unless another key tells it anyway."""
        [key, *others] = keys(self._table)
        if key != ("id",):
            return {}
        if others:
            return {"id": uuid4()}
        contents = read.model_dump_json(exclude_none=True).encode()
        return {"id": id_of(self._table.name.encode(), contents)}

    def kept(self, line: Line) -> bytes:
        """What of a bad line is kept: nothing of a personal table, where it would outlive the row."""
        return b"" if self._table.info.get("personal") else line.raw


def table_of(name: str) -> sa.Table:
    """The table with this name."""
    return Base.metadata.tables[name]


def keys(table: sa.Table) -> list[tuple[str, ...]]:
    """What tells rows apart: the primary key first, then what else is unique and always there."""
    unique = [
        item
        for item in (*table.constraints, *table.indexes)
        if isinstance(item, sa.UniqueConstraint) or (isinstance(item, sa.Index) and item.unique)
    ]
    found = [tuple(column.name for column in item.columns) for item in unique]
    return [tuple(column.name for column in table.primary_key), *sorted(found)]
