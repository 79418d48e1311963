"""Why a record cannot be a row, in words that name the field and its rule, never its value. Pure.

PostgreSQL enforces. What it refuses is told by the names in its answer (constraint, column, SQLSTATE), which
lead through the models to the rule. Its DETAIL and its messages about formats quote values: not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from pydantic import ValidationError

VALIDATION: Final = "DP_2001"
FORMAT: Final = "DP_1004"
DUPLICATE: Final = "DP_2003"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`code` of the error, the `field` (none: the record as a whole), and its rule."""

    code: str
    field: str | None
    reason: str

    def __str__(self) -> str:
        return f"{self.field or 'line'}: {self.reason}"


def refusal_of(error: BaseException | None, table: sa.Table) -> Refusal:
    """Why PostgreSQL refused a row of `table`."""
    if not isinstance(error, psycopg.Error):
        return Refusal(VALIDATION, None, f"cannot be sent to PostgreSQL ({type(error).__name__})")
    name, column = error.diag.constraint_name, error.diag.column_name
    if column and isinstance(error, psycopg.errors.NotNullViolation):
        return Refusal(VALIDATION, column, "is required")
    for constraint in table.constraints:
        if name and constraint.name == name:
            return _of_constraint(constraint)
    for index in table.indexes:
        if name and index.name == name:
            return duplicate(tuple(found.name for found in index.columns))
    words = BY_STATE.get(error.sqlstate or "", f"PostgreSQL refuses it ({type(error).__name__})")
    return Refusal(VALIDATION, column, words)


def duplicate(columns: tuple[str, ...]) -> Refusal:
    """Another row has these values already."""
    return Refusal(DUPLICATE, ", ".join(columns), "taken: another row has it, and differs")


BY_STATE: Final = {
    "22001": "a text is longer than its column allows",
    "22003": "a number is out of its column's range",
    "22021": "holds characters that PostgreSQL cannot",
    "22P05": "holds characters that PostgreSQL cannot",
}


def _of_constraint(constraint: sa.Constraint) -> Refusal:
    if isinstance(constraint, sa.ForeignKeyConstraint):
        [key] = constraint.elements
        return Refusal(VALIDATION, key.parent.name, f"unknown: no row of {key.column.table.name} has it")
    if isinstance(constraint, sa.CheckConstraint):
        return _of_check(str(constraint.sqltext))
    assert isinstance(constraint, sa.PrimaryKeyConstraint | sa.UniqueConstraint)
    return duplicate(tuple(column.name for column in constraint.columns))


CHECKS: Final[tuple[tuple[str, Callable[[re.Match[str]], str]], ...]] = (
    (r"(\w+) >= (\S+) AND \1 <= (\S+)", lambda found: f"must be {found[2]} to {found[3]}"),
    (r"(\w+) >= (\d+)", lambda found: f"must be at least {found[2]}"),
    (r"(\w+) <= (\w+)", lambda found: f"must not be above {found[2]}"),
    (r"octet_length\((\w+)(?:::text)?\) <= (\d+)", lambda found: f"must be at most {found[2]} bytes"),
    (r"(\w+) IN \((.*)\)", lambda found: f"must be one of {found[2].replace(chr(39), '')}"),
    (r"(\w+) ~ '\[\^\[:space:\]\]'", lambda _: "must not be blank"),
    (
        r"cardinality\((\w+)\) BETWEEN 1 AND (\d+) AND .*",
        lambda found: f"must have 1 to {found[2]} parts, and none that is empty",
    ),
    (r"cardinality\((\w+)\) = 0 OR .*", lambda _: "must be a list without empty texts"),
)
"""Every kind of condition that a row of the intake can break, and its words; the first group is the field."""


def _of_check(condition: str) -> Refusal:
    for pattern, words in CHECKS:
        if found := re.fullmatch(pattern, condition, re.DOTALL):
            return Refusal(VALIDATION, found[1], words(found))
    return Refusal(VALIDATION, None, f"breaks the rule {condition}")


def refusal_of_json(error: ValidationError, rules: Mapping[str, str], unknown: str) -> Refusal:
    """Why a line is no record, by the first thing that is wrong with it.

    Args:
        rules: of each field, in words.
        unknown: what to say of a field that is not among them; its name may be personal, or hold a NUL.
    """
    first: Any = error.errors(include_input=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        where = str(first["msg"]).replace("line 1 column", "column").removeprefix("Invalid JSON: ")
        return Refusal(FORMAT, None, f"not JSON: {where}")
    if not first["loc"]:
        return Refusal(FORMAT, None, "not a JSON object")
    field = str(first["loc"][0])
    if field not in rules:
        return Refusal(VALIDATION, None, unknown)
    if first["type"] == "value_error":  # one of ours: it names no value
        return Refusal(VALIDATION, field, str(first["ctx"]["error"]))
    return Refusal(VALIDATION, field, rules[field])
