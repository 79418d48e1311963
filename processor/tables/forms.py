"""What a row's columns become on their way into a view: JSON-ready values, and texts for fingerprints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from processor.errors import RowRejected
from processor.fingerprint import canonical
from processor.rows import (
    DATE_INFINITY,
    TIMESTAMP_INFINITY,
    UNAVAILABLE,
    Kind,
    Row,
    days_from_civil,
    format_date,
    format_timestamp,
)

FIRST_DAY: Final = days_from_civil(1, 1, 1)
LAST_DAY: Final = days_from_civil(9999, 12, 31)
_LIMIT: Final = (FIRST_DAY * 86_400_000_000, (LAST_DAY + 1) * 86_400_000_000 - 1)


class Forms:
    """The forms of a row's columns, each made when it is first asked for.

    Asking raises RowRejected, with the field's name, where a store cannot hold the value.

    Attributes:
        rendered: by column, the value of a view's body.
        canonical: by column, what a fingerprint is made of.
    """

    def __init__(self, kinds: Mapping[str, Kind], row: Row) -> None:
        self.row = row
        self.rendered = _ByColumn(lambda name: _render(name, kinds[name], row.get(name)))
        self.canonical = _ByColumn(lambda name: _canonical(name, kinds[name], row.get(name)))


class _ByColumn(dict[str, Any]):
    """`make(column)`, once."""

    def __init__(self, make: Callable[[str], Any]) -> None:
        self._make = make

    def __missing__(self, name: str) -> Any:
        made = self[name] = self._make(name)
        return made


def refuse_unavailable(name: str, value: Any) -> None:
    """Raise RowRejected for a value that did not travel."""
    if value is UNAVAILABLE:
        raise RowRejected(name, "its unchanged value did not travel; the table needs REPLICA IDENTITY FULL")


def _canonical(name: str, kind: Kind, value: Any) -> str:
    refuse_unavailable(name, value)
    return canonical(kind, value)


def _render(name: str, kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    refuse_unavailable(name, value)
    if kind is Kind.DATE:
        return _render_date(name, value)
    if kind is Kind.TIMESTAMP:
        return _render_timestamp(name, value)
    return _render_number(name, float(value)) if kind in (Kind.NUMERIC, Kind.FLOAT) else value


def _render_date(name: str, days: int) -> str:
    if abs(days) == DATE_INFINITY or not FIRST_DAY <= days <= LAST_DAY:
        raise RowRejected(name, "a date outside the years 1 to 9999")
    return format_date(days)


def _render_timestamp(name: str, micros: int) -> str:
    if abs(micros) == TIMESTAMP_INFINITY or not _LIMIT[0] <= micros <= _LIMIT[1]:
        raise RowRejected(name, "a time outside the years 1 to 9999")
    return format_timestamp(micros)


def _render_number(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise RowRejected(name, f"{value} is not a finite number")
    return value
