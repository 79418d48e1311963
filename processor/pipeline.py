"""From decoded messages to what each store is to show: collapse and project. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from processor.change import Change, Poison
from processor.decide import Wanted, collapse, want, want_kept
from processor.decode import Decoded
from processor.errors import RowRejected
from processor.letters import Letter, letter_of_poison
from processor.refresh import Refresh, Request, Sweep, merge
from processor.routes import Route, requests_of
from processor.stores.base import NOTHING
from processor.tables.base import Projection, View

Stale = Mapping[View, Mapping[str, frozenset[str]]]
"""Cache entries that a batch has made stale, by view and key."""


@dataclass
class TablePlan:
    """What one table's part of a batch asks of the stores.

    Attributes:
        changes: key -> its changes in order; the last one counts.
        wanted: view -> key -> what the view's store is to show.
        rejected: key -> why our own validation refuses its last change.
        joined: by key, rows whose changes show in joined views: to be read again once the stores took them.
        refreshes: by key, other rows to be read again after that.
        sweeps: partitions of which every record is to be looked at.
        letters: records that say nothing we can read.
    """

    projection: Projection
    changes: dict[str, list[Change]] = field(default_factory=dict)
    wanted: dict[View, dict[str, Wanted]] = field(default_factory=dict)
    rejected: dict[str, RowRejected] = field(default_factory=dict)
    joined: dict[str, Refresh] = field(default_factory=dict)
    refreshes: dict[str, Refresh] = field(default_factory=dict)
    sweeps: list[Sweep] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)


@dataclass
class Plan:
    """One batch, ready to be applied. `requests` are commands that it causes, for whoever owns their rows."""

    tables: list[TablePlan] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def letters(self) -> list[Letter]:
        """Of all tables."""
        return [letter for table in self.tables for letter in table.letters]

    @property
    def failing(self) -> int:
        """Records that are known to fail before any store is asked."""
        return sum(len(table.letters) + len(table.rejected) for table in self.tables)

    @property
    def attempted(self) -> int:
        """Records that are applied or become letters; not tombstones, nor changes that newer ones replace."""
        return sum(len(table.letters) + len(table.changes) for table in self.tables)

    @property
    def records(self) -> int:
        """Those, and the rows to be read again."""
        return self.attempted + sum(len(table.joined) + len(table.refreshes) for table in self.tables)


def plan_batch(decoded: Iterable[Decoded | None], routes: Mapping[str, Route], epoch: int) -> Plan:
    """Collapse and project a decoded batch; `routes` by topic of changes or of commands."""
    plan = Plan()
    by_table: dict[str, list[Decoded]] = {}
    for item in decoded:
        if item is not None:
            by_table.setdefault(routes[item.topic].topic, []).append(item)
    for topic, items in by_table.items():
        route = routes[topic]
        plan.tables.append(_plan_table(route.projection, items, epoch))
        plan.requests += requests_of(route, items)
    return plan


def _plan_table(projection: Projection, items: Sequence[Decoded], epoch: int) -> TablePlan:
    table = TablePlan(projection, wanted={view: {} for view in projection.views})
    changes = [item for item in items if isinstance(item, Change)]
    stale = {view: stale_entries(view, changes) for view in projection.views}
    # a later snapshot's rows are no part of the stream: they must not replace a change of it
    again = [_read_again(change, stale) for change in changes if change.of_later_snapshot]
    for key, history in collapse(c for c in changes if not c.of_later_snapshot).items():
        change = history[-1]
        if change.after is not None and not projection.is_whole(change.after):
            again.append(_read_again(change, stale))
            continue
        table.changes[key] = history
        _plan_change(table, change, epoch, stale)
        if projection.joined_views:
            table.joined[key] = _read_again(change, stale, projection.joined_views)
    table.refreshes = merge([*again, *(item for item in items if isinstance(item, Refresh))])
    table.sweeps = [item for item in items if isinstance(item, Sweep)]
    table.letters += [letter_of_poison(item) for item in items if isinstance(item, Poison)]
    return table


def _plan_change(table: TablePlan, change: Change, epoch: int, stale: Stale) -> None:
    """All views or none: no store is to show a change that another cannot.

    What our own validation refuses is as if all stores had refused it.
    """
    projection = table.projection
    try:
        wanted = {
            view: want(projection, view, change, epoch, stale[view].get(change.key, NOTHING))
            for view in projection.row_views
        }
    except RowRejected as error:
        table.rejected[change.key] = error
        wanted = want_kept(projection, change, epoch)
    for view, item in wanted.items():
        table.wanted[view][change.key] = item


def _read_again(change: Change, stale: Stale, views: Sequence[View] | None = None) -> Refresh:
    """Instead of what the change says, in all views or in some."""
    return Refresh(
        message=change.message,
        key=change.key,
        values=change.values,
        since=change.message.place,
        stores=None if views is None else frozenset(view.store for view in views),
        xids=frozenset() if change.xid is None else frozenset({change.xid}),
        invalidates={view.store: found.get(change.key, NOTHING) for view, found in stale.items()},
        follows=views is not None,
    )


def stale_entries(view: View, changes: Sequence[Change]) -> dict[str, frozenset[str]]:
    """Per key, the cache entries named by every image that the batch has of it: also of collapsed changes."""
    entries: dict[str, frozenset[str]] = {}
    if view.invalidates:
        for change in changes:
            for row in (change.before, change.after):
                if row is not None:
                    entries[change.key] = entries.get(change.key, NOTHING) | view.stale_entries(row)
    return entries
