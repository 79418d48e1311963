"""Where a table's messages come from, and what they set going elsewhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from processor.change import Change, Truncation
from processor.decode import Decoded
from processor.refresh import Command, Request, refresh_topic, request
from processor.rows import UNAVAILABLE, Row
from processor.tables import PROJECTIONS, by_topic
from processor.tables.base import Dependency, Projection


@dataclass(frozen=True)
class Route:
    """One table: the topic of its changes, beside it that of commands, and the tables it shows in.

    Attributes:
        partitions: of its topic, and of its refresh topic.
        shows_in: for each dependency of another table on this one, that table's route.
    """

    topic: str
    projection: Projection
    partitions: int
    shows_in: tuple[tuple[Dependency, Route], ...] = ()


def make_routes(topics: Mapping[str, Projection], partitions: Mapping[str, int]) -> dict[str, Route]:
    """Routes by topic of changes and by topic of commands; `topics` and `partitions` by topic of changes."""
    plain = {topic: Route(topic, projection, partitions[topic]) for topic, projection in topics.items()}
    routes: dict[str, Route] = {}
    for topic, route in plain.items():
        shows_in = tuple(
            (dependency, other)
            for other in plain.values()
            for dependency in other.projection.dependencies
            if dependency.table == route.projection.full_name
        )
        full = Route(topic, route.projection, route.partitions, shows_in)
        routes |= {topic: full, refresh_topic(topic): full}
    return routes


def consumed_topics(prefix: str, projections: Sequence[Projection] = PROJECTIONS) -> list[str]:
    """All that the processor reads: changes and commands of every table."""
    topics = list(by_topic(prefix, projections))
    return [*topics, *map(refresh_topic, topics)]


def requests_of(route: Route, items: Sequence[Decoded]) -> list[Request]:
    """The commands that a table's part of a batch causes: rows in which its changes show, and sweeps.

    One per row and transaction: of two transactions that changed different rows, the one that committed
    first may become visible last.
    """
    found: dict[tuple[str, bytes | None, int | None, int | None], Request] = {}
    for item in items:
        if isinstance(item, Change):
            made = _about_others(route, item)
        elif isinstance(item, Truncation):
            made = _sweeps(route, item)
        else:
            continue
        found |= {(r.topic, r.key, r.partition, r.command.xid): r for r in made}
    return list(found.values())


def _about_others(route: Route, change: Change) -> Iterator[Request]:
    for dependency, other in route.shows_in:
        for row in (change.before, change.after):
            key = None if row is None else _named(dependency, row)
            if key is not None:
                command = Command(
                    reason=f"{route.projection.name} {change.key} changed",
                    stores=_joined_stores(other),
                    xid=change.xid,
                )
                yield request(other.topic, other.projection, key, command)


def _sweeps(route: Route, truncation: Truncation) -> Iterator[Request]:
    """Of the table itself, and of those in which its rows did show."""
    reason = f"TRUNCATE of {route.projection.name}"
    for other, stores in [(route, None), *((other, _joined_stores(other)) for _, other in route.shows_in)]:
        command = Command(reason=reason, stores=stores, xid=truncation.xid, sweep=True)
        for partition in range(other.partitions):
            yield Request(refresh_topic(other.topic), None, command, partition)


def _named(dependency: Dependency, row: Row) -> dict[str, Any] | None:
    """The key of the row in which `row` shows; None where it names none."""
    key = {name: row.get(column) for name, column in dependency.key.items()}
    return None if any(value is None or value is UNAVAILABLE for value in key.values()) else key


def _joined_stores(route: Route) -> frozenset[str]:
    return frozenset(view.store for view in route.projection.joined_views)
