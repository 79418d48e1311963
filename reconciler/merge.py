"""Compares a table with a store in one pass over both, in the order of keys. Pure.

Keys are compared as Python compares texts, by code points: that is the order of their bytes in UTF-8, in
which PostgreSQL (COLLATE "C") and every store give them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from processor.stamp import Stamp
from reconciler.errors import OutOfOrder, TooDifferent

T = TypeVar("T")


@dataclass(slots=True)
class Merged:
    """What a pass has seen.

    Attributes:
        equal: keys whose record bears the row's fingerprint.
        absent: rows without a record, where readers cope without.
        suspects: keys to be looked at again: none of this is a verdict.
    """

    rows: int = 0
    records: int = 0
    equal: int = 0
    absent: int = 0
    suspects: list[str] = field(default_factory=list)


def merge(
    rows: Iterable[tuple[str, str]],
    records: Iterable[tuple[str, Stamp]],
    is_beyond: Callable[[Stamp], bool],
    optional: bool,
    limit: int,
) -> Merged:
    """Compare (key, fingerprint) with (key, stamp), both in byte order of the key.

    Args:
        is_beyond: whether no change can have left a stamp: suspicious on a right record, too.
        optional: a row without a record is right as well.
        limit: of suspects.

    Raises:
        OutOfOrder: one side is not in order.
        TooDifferent: more than `limit` keys differ.
    """
    found = Merged()
    ordered_rows, ordered_records = _ordered(rows, "the table"), _ordered(records, "the store")
    row, record = next(ordered_rows, None), next(ordered_records, None)
    while row is not None or record is not None:
        if record is None or (row is not None and row[0] < record[0]):
            assert row is not None
            if optional:
                found.absent += 1
            else:
                _suspect(found, row[0], limit)
            found.rows += 1
            row = next(ordered_rows, None)
        elif row is None or record[0] < row[0]:
            _suspect(found, record[0], limit)
            found.records += 1
            record = next(ordered_records, None)
        else:
            if row[1] == record[1].fp and not is_beyond(record[1]):
                found.equal += 1
            else:
                _suspect(found, row[0], limit)
            found.rows += 1
            found.records += 1
            row, record = next(ordered_rows, None), next(ordered_records, None)
    return found


def _suspect(found: Merged, key: str, limit: int) -> None:
    if len(found.suspects) >= limit:
        raise TooDifferent(f"more than {limit:,} records differ")
    found.suspects.append(key)


def _ordered(items: Iterable[tuple[str, T]], side: str) -> Iterator[tuple[str, T]]:
    last: str | None = None
    for item in items:
        if last is not None and item[0] <= last:
            told = f"{side} gave key {item[0]!r} after {last!r}, against the order of bytes"
            raise OutOfOrder(told, hint="report it as a defect")
        last = item[0]
        yield item
