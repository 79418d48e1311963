"""What a projection is: the one place that says how a table's rows look in every store."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, Final

import sqlalchemy as sa

from processor.embedding.base import normalise
from processor.errors import RowRejected
from processor.fingerprint import fingerprint
from processor.keys import check_key_value, key_values
from processor.rows import (
    DATE_INFINITY,
    TIMESTAMP_INFINITY,
    UNAVAILABLE,
    Kind,
    Row,
    days_from_civil,
    format_date,
    format_timestamp,
    kind_of,
    unavailable_fields,
)
from sql.capture import published_columns, says_before

FIRST_DAY: Final = days_from_civil(1, 1, 1)
LAST_DAY: Final = days_from_civil(9999, 12, 31)
_LIMIT: Final = (FIRST_DAY * 86_400_000_000, (LAST_DAY + 1) * 86_400_000_000 - 1)


class FieldType(Enum):
    """What readers of a store do with a field; each adapter maps it to its own types."""

    KEYWORD = "keyword"  # compared as a whole
    KEYWORDS = "keywords"  # a list of texts, each compared as a whole
    KOREAN = "korean"  # searched by its words
    STORED = "stored"  # only shown
    LONG = "long"
    DOUBLE = "double"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Edge:
    """Relations that a row states in the graph: owned by it, replaced with it.

    Attributes:
        column: names the targets: one text, or a list of texts.
        type: type of the relations.
        label: label of the targets, which are shared with other rows and outlive them.
        name: property of the targets that holds the column's value.
    """

    column: str
    type: str
    label: str
    name: str


@dataclass(frozen=True)
class Text:
    """The text that a view embeds: `compose(row)`, made of `columns`."""

    columns: tuple[str, ...]
    compose: Callable[[Row], str]


@dataclass(frozen=True, eq=False)
class View:
    """How a row looks in one store: each field is the column of the same name.

    Attributes:
        store: name of the store.
        name: the view's name inside the store (index, collection, label, key prefix).
        fields: column -> what readers do with it.
        edges: relations, in a graph; the body has each edge's column as a sorted list of distinct names.
        text: what is embedded, in a vector store.
        invalidates: names of cache entries that somebody computed from this row, dropped when it changes:
            `policies:region:{target_regions}` stands for one entry per region, of the old and of the new row.
        optional: readers cope without the record, and load the row instead: a cache whose entries expire.
    """

    store: str
    name: str
    fields: Mapping[str, FieldType]
    edges: tuple[Edge, ...] = ()
    text: Text | None = None
    invalidates: tuple[str, ...] = ()
    optional: bool = False

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns this view is made of; its fingerprint covers exactly these."""
        text = self.text.columns if self.text else ()
        return tuple(dict.fromkeys((*self.fields, *(edge.column for edge in self.edges), *text)))

    def stale_entries(self, row: Row) -> frozenset[str]:
        """The entries that `invalidates` names for `row`; NULL names none."""
        return frozenset(name for pattern in self.invalidates for name in _expand(pattern, row))


@dataclass(frozen=True, eq=False)
class Joined:
    """A column made of other tables: a scalar subquery that refers to the projected table."""

    kind: Kind
    expression: sa.ColumnElement[Any]


@dataclass(frozen=True)
class Dependency:
    """Another table whose rows show in a joined column: each names the row that it shows in.

    Attributes:
        table: the other table, `schema.name`; its changes must be consumed, so it needs a projection.
        key: key column of the projected table -> column of the other one.
    """

    table: str
    key: Mapping[str, str]


@dataclass(frozen=True)
class Projection:
    """One table's way into the stores. Handlers, trace and reconciler all derive from it.

    Attributes:
        model: the table, as its model describes it.
        only_when: column -> value; a row is shown only while all of them hold.
        views: how it looks in each store that shows it, one view a store.
        joined: columns made of other tables. A view that has one is never made from a change, which knows
            one table only: the row is read again, whenever it or one of `dependencies` changes.
    """

    model: Any
    only_when: Mapping[str, Any]
    views: tuple[View, ...]
    joined: Mapping[str, Joined] = field(default_factory=dict)
    dependencies: tuple[Dependency, ...] = ()

    @property
    def table(self) -> sa.Table:
        """The table as the model describes it."""
        assert isinstance(self.model, sa.Table)
        return self.model

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @cached_property
    def full_name(self) -> str:
        """`schema.name`, as in the topic."""
        return f"{self.table.schema or 'public'}.{self.table.name}"

    @cached_property
    def key_columns(self) -> tuple[str, ...]:
        """The primary key's columns, in its order."""
        return tuple(column.name for column in self.table.primary_key.columns)

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """Column -> Kind, for every column that leaves the database or is joined to those."""
        own = {column.name: kind_of(column) for column in published_columns(self.table)}
        return own | {name: column.kind for name, column in self.joined.items()}

    @cached_property
    def joined_views(self) -> tuple[View, ...]:
        """Those that a change alone cannot make."""
        return tuple(view for view in self.views if not self.joined.keys().isdisjoint(view.columns))

    @cached_property
    def row_views(self) -> tuple[View, ...]:
        """Those that a change alone makes."""
        return tuple(view for view in self.views if view not in self.joined_views)

    @cached_property
    def has_before(self) -> bool:
        """Whether changes say what the row was."""
        return says_before(self.table)

    def is_whole(self, row: Row) -> bool:
        """Whether all values that the row's views need did travel with the change."""
        return not any(unavailable_fields(row, view.columns) for view in self.row_views)

    def check_key(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The key columns' values in Row form, as PostgreSQL itself would write them.

        Raises:
            ValueError: no row can have them.
        """
        columns = {name: self.table.c[name] for name in self.key_columns}
        return {
            name: check_key_value(column, self.kinds[name], values[name]) for name, column in columns.items()
        }

    def parse_key(self, text: str) -> dict[str, Any]:
        """The same of a key as text.

        Raises:
            ValueError: it does not name the key's columns, or no row can have it.
        """
        return self.check_key(key_values(self.kinds, self.key_columns, text))

    def view(self, store: str) -> View:
        """Its view in `store`.

        Raises:
            KeyError: that store does not show this table.
        """
        for view in self.views:
            if view.store == store:
                return view
        raise KeyError(store)

    def predicate(self, row: Row) -> bool:
        """Whether readers are to see this row."""
        return all(row.get(name) == value for name, value in self.only_when.items())

    def condition(self) -> sa.ColumnElement[bool]:
        """The same as SQL."""
        return sa.and_(sa.true(), *(self.table.c[name] == value for name, value in self.only_when.items()))

    def body(self, view: View, row: Row) -> dict[str, Any]:
        """The fields of `view` for `row`, JSON-ready; a SQL NULL stays None.

        Raises:
            RowRejected: a value cannot be held by a store; names the field.
        """
        fields = {name: _render(name, self.kinds[name], row.get(name)) for name in view.fields}
        return fields | {edge.column: _names(edge.column, row.get(edge.column)) for edge in view.edges}

    def text(self, view: View, row: Row) -> str | None:
        """The text that `view` embeds for `row`; None where it embeds none.

        Raises:
            RowRejected: one of its values did not travel.
        """
        if view.text is None:
            return None
        for name in view.text.columns:
            _refuse_unavailable(name, row.get(name))
        return normalise(view.text.compose(row))

    def fingerprint(self, view: View, row: Row) -> str:
        """Fingerprint of the columns of `view` in `row`.

        Raises:
            RowRejected: one of the values did not travel.
        """
        for name in view.columns:
            _refuse_unavailable(name, row.get(name))
        return fingerprint(self.kinds, view.columns, row)


def _expand(pattern: str, row: Row) -> list[str]:
    """`a:{column}` with the column's value, or with each of its list's."""
    head, _, rest = pattern.partition("{")
    column, _, tail = rest.partition("}")
    value = row.get(column)
    if value is None or value is UNAVAILABLE:
        return []
    return [f"{head}{item}{tail}" for item in (value if isinstance(value, list) else [value])]


def _names(column: str, value: Any) -> list[str]:
    """What an edge's column names: the graph keeps neither order nor repetition, and nothing is named ''."""
    _refuse_unavailable(column, value)
    items = value if isinstance(value, list) else [value]
    return sorted({item for item in items if item})


def _refuse_unavailable(name: str, value: Any) -> None:
    if value is UNAVAILABLE:
        raise RowRejected(name, "its unchanged value did not travel; the table needs REPLICA IDENTITY FULL")


def _render(name: str, kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    _refuse_unavailable(name, value)
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
