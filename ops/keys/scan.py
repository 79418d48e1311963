"""The encrypted fields of a table, in the order of its key, and which of them can be opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final

import sqlalchemy as sa

from intake.errors import StoppedEarly
from sql.models import User
from sql.sealed import Place, SealedError, Sealer, key_id, place_of, sealed_columns

TABLE: Final[sa.Table] = User.__table__  # type: ignore[assignment]
"""The one table with encrypted fields."""
[KEY] = TABLE.primary_key
FIELDS: Final = sealed_columns(TABLE)
PAGE_ROWS: Final = 1000
MAX_NAMED: Final = 1000
"""Values that cannot be opened are counted all and named up to here: when a key is gone they are legion."""

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Unreadable:
    """Values that cannot be opened: how many, and where they stand; never what they are."""

    count: int = 0
    named: list[dict[str, str]] = field(default_factory=list)

    def add(self, error: SealedError) -> None:
        """One more."""
        self.count += 1
        if len(self.named) < MAX_NAMED:
            place = error.place
            self.named.append({"key": place.key, "column": place.column, "reason": error.reason})


@dataclass(slots=True)
class Survey:
    """All values: how many stand under each key's id, and which cannot be opened."""

    current: str
    configured: tuple[str, ...]
    keys: Counter[str] = field(default_factory=Counter)
    outdated: int = 0
    """Values that can be opened, under another key than the current one."""
    unreadable: Unreadable = field(default_factory=Unreadable)

    def as_json(self) -> dict[str, Any]:
        """Counts of values; `unreadable` names at most MAX_NAMED of them."""
        return {
            "current": self.current,
            "keys": {name: self.keys[name] for name in sorted({*self.configured, *self.keys})},
            "outdated": self.outdated,
            "unreadable_values": self.unreadable.count,
            "unreadable": self.unreadable.named,
        }


def survey(connection: sa.Connection, sealer: Sealer, stop: Event, progress: Progress) -> Survey:
    """Open every value once; `progress` gets the rows looked at, and about how many there are.

    Raises:
        StoppedEarly: `stop` was set.
    """
    found = Survey(sealer.current, sealer.key_ids)
    with connection.begin():
        total = connection.scalar(sa.select(sa.func.count()).select_from(TABLE)) or 0
    last, rows = None, 0
    while True:
        if stop.is_set():
            raise StoppedEarly(f"stopped after {rows} of {total} rows", hint="run the same command again")
        with connection.begin():  # one for each page: a long transaction would hold up VACUUM
            page = connection.execute(page_after(last, PAGE_ROWS)).mappings().all()
        for row in page:
            for place, value in values_of(row):
                _count(found, sealer, place, value)
        rows += len(page)
        progress(rows, total)
        if len(page) < PAGE_ROWS:
            return found
        last = page[-1][KEY.name]


def _count(found: Survey, sealer: Sealer, place: Place, value: bytes) -> None:
    try:
        name = key_id(place, value)
        found.keys[name] += 1
        sealer.open(place, value)
    except SealedError as error:
        found.unreadable.add(error)
    else:
        found.outdated += name != sealer.current


def page_after(last: Any, limit: int) -> sa.Select[Any]:
    """Key and encrypted fields of the next rows; `last` is the key before them, None at the beginning."""
    query = sa.select(KEY, *FIELDS).order_by(KEY).limit(limit)
    return query if last is None else query.where(KEY > last)  # noqa: SIM300 - a column


def values_of(row: sa.RowMapping) -> Iterator[tuple[Place, bytes]]:
    """The encrypted values that a row has."""
    for column in FIELDS:
        if row[column.name] is not None:
            yield place_of(TABLE, column.name, row), bytes(row[column.name])
