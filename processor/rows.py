"""What a row looks like between decoding and projecting, whichever way it came.

A change event and a SELECT spell the same value differently. Both are brought to one form here, so that
projections, fingerprints and comparisons see equal values as equal:

| column type | value |
|---|---|
| text, uuid, jsonb, numeric | str (jsonb and numeric as PostgreSQL prints them) |
| smallint, integer, bigint | int |
| double precision | float |
| boolean | bool |
| date | int, days since 1970-01-01; DATE_INFINITY for +/-infinity |
| timestamptz | int, microseconds since 1970-01-01 UTC; TIMESTAMP_INFINITY for +/-infinity |
| any array | list of the above |
| SQL NULL | None |
| unchanged TOAST value that did not travel | UNAVAILABLE |

Dates and times are integers because PostgreSQL's reach from 4713 BC to 294276 AD, beyond Python's own types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

TIMESTAMP_INFINITY: Final = 2**64  # beyond every time: the last one of PostgreSQL outgrows 2**63
DATE_INFINITY: Final = 2**31 - 1
MICROSECONDS: Final = 1_000_000
DAY_SECONDS: Final = 86_400
PLACEHOLDER: Final = "__debezium_unavailable_value"
_PLACEHOLDERS: Final = (PLACEHOLDER, [PLACEHOLDER])
# what Debezium sends for the dates +infinity and -infinity: the days of PostgreSQL's own sentinels in the
# stream, of its driver's in a snapshot; no date of PostgreSQL has these numbers
_DEBEZIUM_DATE_INFINITY: Final = {
    2_146_033_979: DATE_INFINITY,
    -2_147_472_691: -DATE_INFINITY,
    -622_191_234: DATE_INFINITY,
    -625_821_272: -DATE_INFINITY,
}
_DEBEZIUM_NUMERIC: Final = {"NAN": "NaN", "POSITIVE_INFINITY": "Infinity", "NEGATIVE_INFINITY": "-Infinity"}
_TIMESTAMP: Final = re.compile(
    r"(?P<year>[+-]?\d{4,6})-(?P<month>\d\d)-(?P<day>\d\d)T(?P<h>\d\d):(?P<m>\d\d)(?::(?P<s>\d\d)(?:\.(?P<f>\d{1,9}))?)?Z"
)


class UnavailableType(Enum):
    """The type of UNAVAILABLE."""

    VALUE = "unavailable"


UNAVAILABLE: Final = UnavailableType.VALUE
"""Stands for an unchanged TOAST value that the change event does not carry; never stored, never embedded."""

Row = Mapping[str, Any]


class Kind(Enum):
    """How a column's values are represented in a Row."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    NUMERIC = "numeric"
    BOOLEAN = "boolean"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TEXT_LIST = "text_list"

    # asked for every value of every row, and an Enum's own is Python code
    __hash__ = object.__hash__


def kind_of(column: sa.Column[Any]) -> Kind:
    """The Kind of a model's column.

    Raises:
        TypeError: the type is not one that a captured column may have (see docs/data-model.md).
    """
    kind = column.type
    if isinstance(kind, sa.ARRAY) and isinstance(kind.item_type, sa.String):
        return Kind.TEXT_LIST
    for types, answer in _KINDS:
        if isinstance(kind, types):
            return answer
    raise TypeError(f"{column.table}.{column.name}: {kind!r} cannot be captured")


_KINDS: tuple[tuple[Any, Kind], ...] = (
    (sa.Boolean, Kind.BOOLEAN),
    (sa.Float, Kind.FLOAT),  # before Numeric, its parent
    (sa.Numeric, Kind.NUMERIC),
    (sa.Integer, Kind.INTEGER),
    (sa.DateTime, Kind.TIMESTAMP),
    (sa.Date, Kind.DATE),
    ((sa.String, sa.Uuid, sa.JSON), Kind.TEXT),
)


_SENT_AS: Final[Mapping[Kind, type | tuple[type, ...]]] = {
    Kind.TEXT: str,
    Kind.INTEGER: int,
    Kind.FLOAT: (float, int),
    Kind.NUMERIC: str,
    Kind.BOOLEAN: bool,
    Kind.DATE: int,
    Kind.TIMESTAMP: str,
    Kind.TEXT_LIST: list,
}


def from_debezium(kind: Kind, value: Any) -> Any:
    """Bring one value of a change event into a Row's form.

    Raises:
        ValueError: the value is not one that Debezium writes for this kind of column.
    """
    if value is None:
        return None
    if value in _PLACEHOLDERS:
        return UNAVAILABLE
    _check_type(kind, value)
    if kind is Kind.NUMERIC:
        return _numeric(value)
    if kind is Kind.DATE:
        return _DEBEZIUM_DATE_INFINITY.get(value, value)
    return parse_timestamp(value) if kind is Kind.TIMESTAMP else value


def _check_type(kind: Kind, value: Any) -> None:
    """A column whose type was changed sends another type than its model says."""
    wanted = isinstance(value, _SENT_AS[kind]) and (kind is Kind.BOOLEAN or not isinstance(value, bool))
    if not wanted:
        raise ValueError(f"a {kind.value} column sends {type(value).__name__}: was its type changed?")
    if kind is Kind.TEXT_LIST and not all(item is None or isinstance(item, str) for item in value):
        raise ValueError("a list of text holds something else")


def _numeric(text: str) -> str:
    if text in _DEBEZIUM_NUMERIC:
        return _DEBEZIUM_NUMERIC[text]
    try:
        Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a number: {text!r}") from None
    return text


def row_from_debezium(kinds: Mapping[str, Kind], record: Mapping[str, Any]) -> Row:
    """Bring one image of a change event into a Row; fields that no model column names are left out."""
    return {name: from_debezium(kind, record[name]) for name, kind in kinds.items() if name in record}


def unavailable_fields(row: Row, names: Sequence[str]) -> list[str]:
    """Those of `names` whose value did not travel with the event."""
    return [name for name in names if row.get(name) is UNAVAILABLE]


@lru_cache(1_000)  # mostly the images before and after have the same
def parse_timestamp(text: str) -> int:
    """Microseconds since the epoch of Debezium's ISO text in UTC, any year; 'infinity' and '-infinity' too.

    Raises:
        ValueError: not such a text.
    """
    if text in ("infinity", "-infinity"):
        return -TIMESTAMP_INFINITY if text[0] == "-" else TIMESTAMP_INFINITY
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"not a UTC timestamp: {text!r}")
    days = days_from_civil(int(match["year"]), int(match["month"]), int(match["day"]))
    seconds = days * DAY_SECONDS + int(match["h"]) * 3600 + int(match["m"]) * 60 + int(match["s"] or 0)
    return seconds * MICROSECONDS + int((match["f"] or "").ljust(6, "0")[:6])


def format_date(days: int) -> str:
    """ISO text of a day, proleptic Gregorian calendar; year 0 is 1 BC, as ISO 8601 has it."""
    year, month, day = civil_from_days(days)
    return f"{year:04d}-{month:02d}-{day:02d}"


def format_timestamp(micros: int) -> str:
    """ISO text in UTC with six digits of fraction."""
    seconds, fraction = divmod(micros, MICROSECONDS)
    days, rest = divmod(seconds, DAY_SECONDS)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{format_date(days)}T{clock}.{fraction:06d}Z"


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms")."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def civil_from_days(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a day since 1970-01-01; the inverse of `days_from_civil`."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1
