"""What a projection is: the one place that says how a table's rows look in every store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from processor.embedding.base import normalise
from processor.fingerprint import fingerprint_of
from processor.keys import check_key_value, key_values
from processor.rows import UNAVAILABLE, Kind, Row, kind_of, unavailable_fields
from processor.tables.forms import Forms, refuse_unavailable
from sql.capture import published_columns, says_before


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
        fields: column -> what readers do with it; not of a column that an edge has.
        edges: relations, in a graph; the body has each edge's column as a sorted list of distinct names.
        text: what is embedded, in a vector store.
        hub: label of a shared node that other rows' edges may name by the row's key, as property `_id`. The
            row's node is that node while it is shown; before and after, nothing is left of it but the hub.
        invalidates: names of cache entries that somebody computed from this row, dropped when it changes:
            `policies:region:{target_regions}` stands for one entry per region, of the old and of the new row.
        optional: readers cope without the record, and load the row instead: a cache whose entries expire.
    """

    store: str
    name: str
    fields: Mapping[str, FieldType]
    edges: tuple[Edge, ...] = ()
    text: Text | None = None
    hub: str | None = None
    invalidates: tuple[str, ...] = ()
    optional: bool = False

    def __post_init__(self) -> None:
        twice = sorted(edge.column for edge in self.edges if edge.column in self.fields)
        if twice:
            raise ValueError(f"view {self.name}: {', '.join(twice)} cannot be both a field and an edge")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns this view is made of; its fingerprint covers exactly these."""
        text = self.text.columns if self.text else ()
        return tuple(dict.fromkeys((*self.fields, *(edge.column for edge in self.edges), *text)))

    def stale_entries(self, row: Row) -> frozenset[str]:
        """The entries that `invalidates` names for `row`; NULL names none."""
        return frozenset(name for pattern in self.invalidates for name in entries_named(pattern, row))


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

    @cached_property
    def row_columns(self) -> tuple[str, ...]:
        """All columns of those."""
        return tuple(dict.fromkeys(name for view in self.row_views for name in view.columns))

    def is_whole(self, row: Row) -> bool:
        """Whether all values that the row's views need did travel with the change."""
        return not unavailable_fields(row, self.row_columns)

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
        rendered = self._forms(row).rendered
        fields = {name: rendered[name] for name in view.fields}
        return fields | {edge.column: _names(edge.column, row.get(edge.column)) for edge in view.edges}

    def text(self, view: View, row: Row) -> str | None:
        """The text that `view` embeds for `row`; None where it embeds none.

        Raises:
            RowRejected: one of its values did not travel.
        """
        if view.text is None:
            return None
        for name in view.text.columns:
            refuse_unavailable(name, row.get(name))
        return normalise(view.text.compose(row))

    def fingerprint(self, view: View, row: Row) -> str:
        """Fingerprint of the columns of `view` in `row`.

        Raises:
            RowRejected: one of the values did not travel.
        """
        canonical = self._forms(row).canonical
        return fingerprint_of([canonical[name] for name in view.columns])

    def _forms(self, row: Row) -> Forms:
        """Views share most columns, and all are made of one row before the next: only its forms are kept."""
        forms: Forms | None = self.__dict__.get("_last_forms")
        if forms is None or forms.row is not row:
            forms = self.__dict__["_last_forms"] = Forms(self.kinds, row)
        return forms


def entries_named(pattern: str, row: Row) -> list[str]:
    """`a:{column}` with the column's value, or with each of its list's."""
    head, _, rest = pattern.partition("{")
    column, _, tail = rest.partition("}")
    value = row.get(column)
    if value is None or value is UNAVAILABLE:
        return []
    return [f"{head}{item}{tail}" for item in (value if isinstance(value, list) else [value])]


def _names(column: str, value: Any) -> list[str]:
    """What an edge's column names: the graph keeps neither order nor repetition, and nothing is named ''."""
    refuse_unavailable(column, value)
    items = value if isinstance(value, list) else [value]
    return sorted({item for item in items if item})
