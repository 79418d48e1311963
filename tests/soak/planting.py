"""Faults in every store: which there are, what each is, and whether only a deep check can see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from processor.settings import Settings
from processor.stamp import make_version
from processor.tables import PROJECTIONS
from processor.tables.base import Projection, View
from tests.integration.faults import Vandal, vandals
from tests.integration.rows import WRITTEN
from tests.soak.runs import Place

BEYOND: Final = 1 << 50
"""A position of the log that no test comes to."""
XIDS_AHEAD: Final = 1 << 30
STRANGE: Final = "nobody"
"""A key that no user can have, since it is no UUID."""
FAULTS: Final[Mapping[str, str]] = {
    "lost": "missing",
    "back": "orphan",
    "hidden": "orphan",
    "never": "orphan",
    "print": "stale",
    "version": "corrupt_stamp",
    "epoch": "corrupt_stamp",
    "seen": "corrupt_stamp",
    "xid": "corrupt_stamp",
}
DEEP_FAULTS: Final = {"field": "stale", "edge": "stale", "vector": "stale"}


@dataclass
class Planted:
    """What is wrong by now: place -> kind; `deep`: what a check of fingerprints cannot see."""

    plain: dict[Place, str] = field(default_factory=dict)
    deep: dict[Place, str] = field(default_factory=dict)


class Garden:
    """Rows that nobody else changes, one for each fault, and a healthy one beside for each view."""

    def __init__(self, engine: sa.Engine, settings: Settings, prefix: str) -> None:
        self._engine, self._settings, self._prefix = engine, settings, prefix

    def sow(self) -> None:
        """Insert the rows; a lock leaves its number in the xmax of each."""
        with self._engine.begin() as connection:
            for projection, view in _views():
                written = WRITTEN[projection.name]
                names = [self._name(view, fault) for fault in ("healthy", *_faults(projection, view))]
                for parent in (WRITTEN["documents"], WRITTEN["taxonomy_nodes"]) if written.refers else ():
                    rows = [parent.row(name) for name in names]
                    connection.execute(pg.insert(parent.table).on_conflict_do_nothing(), rows)
                connection.execute(sa.insert(written.table), [written.row(name) for name in names])
        with self._engine.begin() as connection:
            for written in WRITTEN.values():
                mine = sa.select(*written.key).where(written.mine(self._prefix))
                connection.execute(mine.with_for_update(key_share=True, read=True))

    def prepare(self) -> None:
        """Take away the rows whose records will come back; afterwards the processor must catch up."""
        with self._engine.begin() as connection:
            for projection, view in _views():
                written = WRITTEN[projection.name]
                back, never, hidden = (
                    written.where(self._name(view, fault)) for fault in ("back", "never", "hidden")
                )
                connection.execute(sa.delete(written.table).where(sa.or_(back, never)))
                if projection.only_when:
                    connection.execute(sa.update(written.table).where(hidden).values(is_active=False))

    def plant(self) -> Planted:
        """All faults, in all stores."""
        found = Planted()
        with vandals(self._settings) as by_store:
            for projection, view in _views():
                for fault in _faults(projection, view):
                    self._plant(by_store[view.store], projection, view, fault)
                    self._note(found, projection, view, fault)
            for store in ("neo4j", "redis"):
                view = _users().view(store)
                by_store[store].copy(view, self._key(_users(), view, "healthy"), STRANGE)
                found.plain["users", store, STRANGE] = "orphan"
        return found

    def _plant(self, vandal: Any, projection: Projection, view: View, fault: str) -> None:
        key, healthy = (self._key(projection, view, name) for name in (fault, "healthy"))
        act: dict[str, Callable[[], None]] = {
            "lost": lambda: vandal.remove(view, key),
            **dict.fromkeys(("back", "hidden", "never"), lambda: vandal.copy(view, healthy, key)),
            "field": lambda: vandal.field(view, key, *WRITTEN[projection.name].wrong),
            "edge": lambda: vandal.edge(view, key),
            "vector": lambda: vandal.vector(view, key),
        }
        if fault in act:
            act[fault]()
        else:
            self._stamp(vandal, view, key, fault)

    def _stamp(self, vandal: Vandal, view: View, key: str, fault: str) -> None:
        epoch = self._settings.processor.epoch
        changed: dict[str, dict[str, Any]] = {
            "print": {"fp": "0" * 16},
            "version": {"version": make_version(epoch, BEYOND)},
            "epoch": {"version": make_version(epoch + 1, 1)},
            "seen": {"seen": BEYOND},
            "xid": {"xid": self._far_xid()},
        }
        vandal.stamp(view, key, **changed[fault])

    def _far_xid(self) -> int:
        with self._engine.connect() as connection:
            following = connection.execute(
                sa.text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            ).scalar_one()
        return int((following + XIDS_AHEAD) % (1 << 32))

    def _note(self, found: Planted, projection: Projection, view: View, fault: str) -> None:
        place = (projection.name, view.store, self._key(projection, view, fault))
        if fault in DEEP_FAULTS:
            found.deep[place] = DEEP_FAULTS[fault]
        elif not (fault == "lost" and view.optional):  # readers of a cache load the row
            found.plain[place] = FAULTS[fault]

    def _name(self, view: View, fault: str) -> str:
        return f"{self._prefix}{view.store}-{fault}"

    def _key(self, projection: Projection, view: View, fault: str) -> str:
        return WRITTEN[projection.name].key_text(self._name(view, fault))


def _faults(projection: Projection, view: View) -> list[str]:
    faults = [fault for fault in FAULTS if fault != "hidden" or projection.only_when]
    return [
        *faults,
        "field",
        *(["edge"] if view.edges else []),
        *(["vector"] if view.text else []),
    ]


def _views() -> Iterator[tuple[Projection, View]]:
    return ((projection, view) for projection in PROJECTIONS for view in projection.views)


def _users() -> Projection:
    (users,) = (projection for projection in PROJECTIONS if projection.name == "users")
    return users
