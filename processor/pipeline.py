"""From messages to what each store is to show: decode, collapse, project. Pure but for the schema look-up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from processor.change import Change, Poison
from processor.decide import Wanted, collapse, want
from processor.errors import AegisError, RowRejected
from processor.letters import Letter
from processor.stores.base import NOTHING
from processor.tables.base import Projection, View


@dataclass
class TablePlan:
    """What one table's part of a batch asks of the stores.

    Attributes:
        changes: the change per key that counts.
        wanted: view -> key -> what the view's store is to show.
    """

    projection: Projection
    changes: dict[str, Change] = field(default_factory=dict)
    wanted: dict[View, dict[str, Wanted]] = field(default_factory=dict)


@dataclass
class Plan:
    """One batch, ready to be applied; `letters` are records that are already known to fail."""

    tables: list[TablePlan] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    @property
    def attempted(self) -> int:
        """Records that are applied or become letters; not tombstones, nor changes that newer ones replace."""
        return len(self.letters) + sum(len(table.changes) for table in self.tables)


def plan_batch(
    decoded: Iterable[Change | Poison | None], projections: Mapping[str, Projection], epoch: int
) -> Plan:
    """Collapse and project a decoded batch; `projections` by topic."""
    plan = Plan()
    by_topic: dict[str, list[Change]] = {}
    for item in decoded:
        if isinstance(item, Poison):
            plan.letters.append(_letter(item))
        elif item is not None:
            by_topic.setdefault(item.message.topic, []).append(item)
    for topic, changes in by_topic.items():
        plan.tables.append(_plan_table(projections[topic], changes, epoch, plan.letters))
    return plan


def _plan_table(
    projection: Projection, changes: Sequence[Change], epoch: int, letters: list[Letter]
) -> TablePlan:
    table = TablePlan(projection, wanted={view: {} for view in projection.views})
    stale = {view: _stale_entries(view, changes) for view in projection.views}
    for key, change in collapse(changes).items():
        try:
            # all views or none: no store is to show a change that another cannot
            wanted = {
                view: want(projection, view, change, epoch, stale[view].get(key, NOTHING))
                for view in projection.views
            }
        except RowRejected as error:
            letters.append(_rejected(projection, change, error))
            continue
        table.changes[key] = change
        for view, item in wanted.items():
            table.wanted[view][key] = item
    return table


def _stale_entries(view: View, changes: Sequence[Change]) -> dict[str, frozenset[str]]:
    """Per key, the cache entries named by every image that the batch has of it: also of collapsed changes."""
    entries: dict[str, frozenset[str]] = {}
    if view.invalidates:
        for change in changes:
            for row in (change.before, change.after):
                if row is not None:
                    entries[change.key] = entries.get(change.key, NOTHING) | view.stale_entries(row)
    return entries


def _letter(poison: Poison) -> Letter:
    return Letter(
        message=poison.message,
        stage="decode",
        code=poison.error.code or "",
        exception=type(poison.error).__name__,
        reason=str(poison.error),
    )


def _rejected(projection: Projection, change: Change, error: AegisError) -> Letter:
    return Letter(
        message=change.message,
        stage="project",
        code=error.code or "",
        exception=type(error).__name__,
        reason=f"{projection.name} {change.key}: {error}",
        outcomes={view.store: "skipped" for view in projection.views},
    )
