"""What must hold in the end: a store shows the table, and no version is above that of the last change."""

from __future__ import annotations

from processor.compare import State as Verdict
from processor.compare import compare
from processor.stamp import split_version
from processor.tables.base import View
from tests.model.connector import Connector
from tests.model.owner import EPOCH, Letters, SharedStore
from tests.model.postgres import Database
from tests.model.tables import ITEM_KEYS, ITEMS


def judge(database: Database, connector: Connector, store: SharedStore, view: View, model: str) -> None:
    """Raises AssertionError with the first record that is not as it must be."""
    visible = database.look()[1]
    rows = database.rows("items", visible)
    tags = [version.row for version in database.rows("tags", visible).values()]
    for key in ITEM_KEYS:
        record = store.read(view, [key]).get(key)
        labels = sorted(tag["label"] for tag in tags if tag["item_id"] == key)
        row = {**rows[key].row, "labels": labels} if key in rows else None
        found = compare(ITEMS, view, row, record, model)
        where = f"{store.name} {key}"
        assert found.state in (Verdict.OK, Verdict.NOT_PROJECTED), f"{where}: {found}"
        if record is None:
            continue
        epoch, position = split_version(record.stamp.version)
        newest = connector.newest.get(("items", key), 0)
        assert (epoch, position) <= (EPOCH, newest), f"{where}: version {position} above {newest}"
        if view.text:
            assert row and record.vector
            made = Letters(model).encode([view.text.compose(row)])[0]
            assert record.vector.values.tobytes() == made.tobytes(), f"{where}: vector of another text"
