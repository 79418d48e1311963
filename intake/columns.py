"""What a column takes, as a type that checks JSON and in words. Pure."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import sqlalchemy as sa
from pydantic import AfterValidator, AwareDatetime, Field
from sqlalchemy.dialects.postgresql import ARRAY

INT32: Final = 2**31
INT64: Final = 2**63


def storable(value: Any) -> Any:
    """`value`, when PostgreSQL can hold what is in it.

    Raises:
        ValueError: a NUL character, or a number that is not finite, somewhere in it.
    """
    if isinstance(value, str) and "\0" in value:
        raise ValueError("must not hold a NUL character")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must hold finite numbers only")
    if isinstance(value, dict):
        for item in (*value, *value.values()):
            storable(item)
    elif isinstance(value, list):
        for item in value:
            storable(item)
    return value


def of_our_years(value: datetime) -> datetime:
    """`value`, when it is a time of the years 1 to 9999 in UTC too: others cannot be read back.

    Raises:
        ValueError: `9999-12-31T23:59:59-23:00` is one of the year 10000.
    """
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be of the years 1 to 9999 in UTC") from None
    return value


def type_and_rule(column: sa.Column[Any]) -> tuple[Any, str] | None:
    """A type for pydantic and the rule in words; None: the column cannot be imported."""
    kind = column.type
    if isinstance(kind, ARRAY):
        return Annotated[list[str], AfterValidator(storable)], "must be a list of texts"
    if isinstance(kind, sa.JSON):
        return Annotated[Any, AfterValidator(storable)], "must be JSON"
    if isinstance(kind, sa.String):
        text = Annotated[str, Field(max_length=kind.length), AfterValidator(storable)]
        return text, "must be text" + (f" of at most {kind.length} characters" if kind.length else "")
    if isinstance(kind, sa.Numeric) and not isinstance(kind, sa.Float):
        return _number(kind)
    return _PLAIN.get(type(kind))


def _number(kind: sa.Numeric[Any]) -> tuple[Any, str]:
    exact = Annotated[Decimal, Field(max_digits=kind.precision, decimal_places=kind.scale)]
    return exact, f"must be a number of {kind.precision} digits, {kind.scale} of them decimals"


_PLAIN: Final[dict[type[Any], tuple[Any, str]]] = {
    sa.Uuid: (UUID, "must be a UUID"),
    sa.Integer: (Annotated[int, Field(ge=-INT32, lt=INT32)], "must be a whole number of 32 bits"),
    sa.BigInteger: (Annotated[int, Field(ge=-INT64, lt=INT64)], "must be a whole number of 64 bits"),
    sa.Boolean: (bool, "must be true or false"),
    sa.Double: (float, "must be a finite number"),
    sa.Date: (date, "must be a date as 2025-12-31"),
    sa.DateTime: (
        Annotated[AwareDatetime, AfterValidator(of_our_years)],
        "must be a time with its zone as 2025-12-31T09:00:00+09:00",
    ),
}
