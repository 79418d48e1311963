"""Which entries there are: those of every view in the cache, and what its `invalidates` names. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from processor.errors import ConfigurationError
from processor.keys import is_unicode
from processor.stores.redis import NAME
from processor.tables.base import Projection, View, entries_named
from reader.entries import Computed, Keys, Metadata, QualityScore, RowEntry, Source

OF_ONE_ROW: Final[Mapping[str, Callable[[RowEntry], Source]]] = {
    "policy_metadata": Metadata,
    "quality_score": QualityScore,
}
"""What `name:{key column}` stands for; `name:{another column}` stands for a list of keys."""
QUALITY: Final = "quality_score"


@dataclass(frozen=True)
class _Pattern:
    """One of `View.invalidates`: `text` is `kind:{column}`."""

    text: str
    projection: Projection
    view: View

    @property
    def kind(self) -> str:
        return self.text.partition(":{")[0]

    @property
    def column(self) -> str:
        return self.text.partition(":{")[2].removesuffix("}")

    def name(self, value: str) -> str:
        """As the processor names what it drops."""
        (name,) = entries_named(self.text, {self.column: value})
        return name


class Catalog:
    """Entries by what callers ask for. Lives are in seconds."""

    def __init__(self, projections: Sequence[Projection], seconds: int, quality_seconds: int) -> None:
        shown = [(p, view) for p in projections for view in p.views if view.store == NAME]
        self._rows = {projection.name: (projection, view) for projection, view in shown}
        patterns = [_Pattern(text, p, view) for p, view in shown for text in view.invalidates]
        self._patterns = {pattern.kind: pattern for pattern in patterns}
        self._seconds = seconds
        self._quality_seconds = quality_seconds

    @property
    def lists(self) -> list[str]:
        """Kinds of entries that are lists of keys."""
        return sorted(self._patterns.keys() - OF_ONE_ROW.keys())

    def row(self, table: str, key: str) -> RowEntry | None:
        """The row's entry; None when no row can have that key.

        Raises:
            ConfigurationError: the cache does not show that table.
        """
        if table not in self._rows:
            shown = ", ".join(sorted(self._rows))
            raise ConfigurationError(f"the cache does not show table {table!r}", hint=f"it shows {shown}")
        projection, view = self._rows[table]
        try:
            return RowEntry(projection, view, projection.parse_key(key), self._seconds)
        except ValueError:
            return None

    def of_row(self, kind: str, key: str) -> Computed | None:
        """What is computed from one row; None when no row can have that key."""
        pattern = self._patterns[kind]
        entry = self.row(pattern.projection.name, key)
        if entry is None:
            return None
        life = self._quality_seconds if kind == QUALITY else self._seconds
        return Computed(kind, pattern.name(entry.key[pattern.column]), life, OF_ONE_ROW[kind](entry))

    def keys(self, kind: str, value: str) -> Computed | None:
        """A list of keys; None when no text in the database can be that value.

        Raises:
            ConfigurationError: there is no such list.
        """
        if kind not in self.lists:
            raise ConfigurationError(f"there is no list {kind!r}", hint=f"there are {', '.join(self.lists)}")
        if "\0" in value or not is_unicode(value):
            return None
        pattern = self._patterns[kind]
        source = Keys(pattern.projection, pattern.column, value)
        return Computed(kind, pattern.name(value), self._seconds, source)
