"""What must hold in the end.

When all is at rest, a row's records are as the table has it; or one of its newest changes was refused, a
letter waits, and then:

- all stores that show the row alone show one image of it, or none of them shows the row. Left out is a store
  of which the letter says that it refused even that (compensation_failed).
- a view that is joined from several tables is left as it was: it may show an earlier reading of the row, or a
  later one that came before the refused change did. But it shows nothing where the others show nothing; and
  where they show an older image, it says that it is held back, as they do.
- where it is the joined view that refuses the change, the others hold it back as well.

Once stores take everything and the letters were replayed, every record is as the table has it. No version is
ever above that of the last change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from processor.compare import State as Verdict
from processor.compare import compare
from processor.refresh import PREFIX as REFRESH
from processor.rows import Row
from processor.stamp import split_version
from processor.stores.base import Record
from processor.tables.base import View
from tests.model.changes import ITEM_VALUES, item
from tests.model.connector import Connector
from tests.model.letters import Desk
from tests.model.owner import EPOCH, Letters, SharedStore
from tests.model.postgres import Database
from tests.model.tables import ITEM_KEYS, ITEMS

Shown = Mapping[View, Record | None]
"""A row's record in each view."""


class Judge:
    """At rest. Every method raises AssertionError with the first record that is not as it must be."""

    def __init__(
        self, database: Database, connector: Connector, stores: Sequence[SharedStore], model: str
    ) -> None:
        self._connector = connector
        self._stores = dict(zip(ITEMS.views, stores, strict=True))
        self._model = model
        visible = database.look()[1]
        tags = [version.row for version in database.rows("tags", visible).values()]
        self._rows: dict[str, Row] = {
            key: {**found.row, "labels": sorted(tag["label"] for tag in tags if tag["item_id"] == key)}
            for key, found in database.rows("items", visible).items()
        }

    def all_equal(self) -> None:
        """Every store shows the table, and holds nothing back."""
        for key in ITEM_KEYS:
            if wrong := self._differences(key, self._shown(key)):
                raise AssertionError(wrong)

    def none_halfway(self, desk: Desk) -> None:
        """The same, but for rows with letters: all stores show an older image, or none shows the row."""
        for key in ITEM_KEYS:
            shown = self._shown(key)
            if wrong := self._differences(key, shown):
                self._check_letter(key, desk, wrong)
                self._check_image(key, desk, shown)

    def _shown(self, key: str) -> Shown:
        shown = {view: store.read(view, [key]).get(key) for view, store in self._stores.items()}
        newest = self._connector.newest.get(("items", key), 0)
        for view, record in shown.items():
            if record is not None:
                position = split_version(record.stamp.version)
                assert position <= (EPOCH, newest), f"{view.store} {key}: version {position} above {newest}"
        return shown

    def _differences(self, key: str, shown: Shown) -> str:
        row = self._rows.get(key)
        found = {view.store: _difference(view, row, record, self._model) for view, record in shown.items()}
        return ", ".join(f"{store} {key}: {wrong}" for store, wrong in found.items() if wrong)

    def _check_letter(self, key: str, desk: Desk, wrong: str) -> None:
        """An old change's letter says nothing of a newer one."""
        older = self._connector.streamed.get(("items", key), [])[:-1]
        letters = [record.raw_value for record in desk.open_records(key)]
        assert any(value not in older for value in letters), f"no letter tells of it: {wrong}"

    def _check_image(self, key: str, desk: Desk, shown: Shown) -> None:
        letter = desk.newest(key)
        assert letter is not None
        failed = {s for s, outcome in letter.outcomes.items() if outcome == "compensation_failed"}
        alone = {v: shown[v] for v in ITEMS.row_views if v.store not in failed}
        refused = {store for store, outcome in letter.outcomes.items() if outcome == "rejected"}
        joined = {v: shown[v] for v in ITEMS.joined_views if v.store not in failed | refused and shown[v]}
        images: list[Row | None] = [None, *(item(key, n) for n in range(len(ITEM_VALUES)))]
        assert any(not any(_image_difference(v, row, r) for v, r in alone.items()) for row in images), (
            f"{key}: two images: {shown}"
        )
        assert not joined or any(alone.values()) or not alone, f"{key} is shown joined only: {shown}"
        held_back = any(record and record.stamp.is_held_back for record in alone.values())
        for record in joined.values():
            assert record is None or record.stamp.is_held_back or not held_back, f"{key}: ahead: {shown}"
        of_change = not letter.failed.startswith(REFRESH)
        if of_change and any(view.store in refused for view in ITEMS.joined_views):
            ahead = [record for record in alone.values() if record and not record.stamp.is_held_back]
            assert not ahead, f"{key}: shown, but not joined: {shown}"


def _difference(view: View, row: Row | None, record: Record | None, model: str) -> str:
    found = compare(ITEMS, view, row, record, model)
    if found.state not in (Verdict.OK, Verdict.NOT_PROJECTED):
        return str(found)
    if record is not None and record.stamp.is_held_back:
        return "held back"
    return _vector_difference(view, row, record)


def _image_difference(view: View, row: Row | None, record: Record | None) -> str:
    """The same of an older image, whose vector may be of an older model."""
    model = record.vector.model if record and record.vector else ""
    found = compare(ITEMS, view, row, record, model)
    if found.state not in (Verdict.OK, Verdict.NOT_PROJECTED):
        return str(found)
    return _vector_difference(view, row, record)


def _vector_difference(view: View, row: Row | None, record: Record | None) -> str:
    if view.text is None or record is None:
        return ""
    assert row is not None and record.vector is not None
    made: Any = Letters(record.vector.model).encode([view.text.compose(row)])[0]
    return "" if record.vector.values.tobytes() == made.tobytes() else "vector of another text"
