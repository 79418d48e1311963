"""What the cache holds for readers, and how each of its entries is made from PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from processor.errors import RowRejected
from processor.keys import key_text
from processor.rows import Kind, Row
from processor.source import read_locked, select_keys, source_of
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Refused
from processor.stores.redis_entry import record_of, text_of
from processor.tables.base import Projection, View
from sql.models import QualityMetric

VERSION: Final = 0
"""Of a record that a reader has made: whatever the stream brings is applied over it."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an entry is made of. `locker` is the `xmax` of its row, None where it is made of several."""

    value: Any
    locker: int | None


class Entry(Protocol):
    """One entry of the cache.

    Attributes:
        kind: what is counted together.
        name: in the cache, without the prefix.
        seconds: its life in Redis.
    """

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def seconds(self) -> int: ...  # noqa: D102

    def find(self, connection: sa.Connection) -> Found | None:
        """Read what it is made of; None when there is nothing to show."""
        ...

    def text(self, found: Found, end: int) -> bytes:
        """What the cache holds. `end` is where the log ended after the read.

        Raises:
            RowRejected: no store can hold the row.
        """
        ...

    def value(self, text: bytes) -> Any:
        """What a caller gets; None if the text is no entry of ours."""
        ...


@dataclass(frozen=True)
class RowEntry:
    """A row as the processor writes it, with its stamp."""

    projection: Projection
    view: View
    key: Mapping[str, Any]
    seconds: int

    @property
    def kind(self) -> str:
        """The view's name."""
        return self.view.name

    @property
    def name(self) -> str:
        """As the adapter's."""
        return f"{self.view.name}:{key_text(self.projection.key_columns, self.key)}"

    def find(self, connection: sa.Connection) -> Found | None:
        """The row, if it is shown. What is joined to it may change while nobody touches the row itself."""
        found = find_row(connection, self.projection, self.key)
        if found is not None and self.view in self.projection.joined_views:
            return Found(found.value, None)
        return found

    def text(self, found: Found, end: int) -> bytes:
        """The record, as a refresh would make it where there was none."""
        row: Row = found.value
        stamp = Stamp(VERSION, end, None, self.projection.fingerprint(self.view, row))
        text = text_of(stamp, self.projection.body(self.view, row))
        if isinstance(text, Refused):
            field, _, reason = text.reason.partition(": ")
            raise RowRejected(field, reason)
        return text

    def value(self, text: bytes) -> dict[str, Any] | None:
        """The view's fields."""
        record = record_of(text)
        return None if record.stamp == UNREADABLE else dict(record.body)


@dataclass(frozen=True)
class Computed:
    """Computed from rows, and dropped by the processor when one of them changes: see `View.invalidates`."""

    kind: str
    name: str
    seconds: int
    source: Source

    def find(self, connection: sa.Connection) -> Found | None:
        """As the source."""
        return self.source.find(connection)

    def text(self, found: Found, end: int) -> bytes:  # noqa: ARG002
        """JSON with one member."""
        return json.dumps({"value": found.value}, ensure_ascii=False, allow_nan=False).encode()

    def value(self, text: bytes) -> Any:
        """The value alone."""
        try:
            found = json.loads(text)
        except ValueError:
            return None
        return found.get("value") if isinstance(found, dict) else None


class Source(Protocol):
    """What a computed entry is made of."""

    def find(self, connection: sa.Connection) -> Found | None:
        """Read it."""
        ...


@dataclass(frozen=True)
class Metadata:
    """A row's fields without its long text: what a list of results shows."""

    entry: RowEntry

    def find(self, connection: sa.Connection) -> Found | None:
        """The fields as JSON."""
        found = self.entry.find(connection)
        if found is None:
            return None
        body = self.entry.projection.body(self.entry.view, found.value)
        return Found({name: value for name, value in body.items() if name != "content"}, found.locker)


@dataclass(frozen=True)
class QualityScore:
    """A policy's quality as computed last; as the policy says where it never was."""

    entry: RowEntry

    def find(self, connection: sa.Connection) -> Found | None:
        """A number from 0 to 1; a computation is committed together with the policy."""
        found = self.entry.find(connection)
        if found is None:
            return None
        query = (
            sa.select(QualityMetric.total_score)
            .where(QualityMetric.policy_id == self.entry.key["policy_id"])
            .order_by(QualityMetric.calculated_at.desc(), QualityMetric.id.desc())
            .limit(1)
        )
        latest = connection.scalar(query)
        return Found(found.value["quality_score"] if latest is None else latest, found.locker)


@dataclass(frozen=True)
class Keys:
    """Keys of the rows shown whose column is that value, or has it among its items: in byte order."""

    projection: Projection
    column: str
    value: str

    def find(self, connection: sa.Connection) -> Found:
        """None of them is a list, too."""
        query = select_keys(self.projection).where(self.projection.condition(), self._names())
        rows = map(dict[str, Any], connection.execute(query).mappings())
        keys = (key_text(self.projection.key_columns, row) for row in rows)
        return Found(sorted(keys, key=str.encode), None)

    def _names(self) -> sa.ColumnElement[bool]:
        column = source_of(self.projection, self.column)
        if self.projection.kinds[self.column] is Kind.TEXT_LIST:
            return column.op("@>", is_comparison=True)(sa.cast([self.value], pg.ARRAY(sa.Text)))
        return column == self.value


def find_row(connection: sa.Connection, projection: Projection, key: Mapping[str, Any]) -> Found | None:
    """A row of that key, if it is shown."""
    rows, lockers, _ = read_locked(connection, projection, [key])
    for name, row in rows.items():
        if projection.predicate(row):
            return Found(row, lockers[name])
    return None
