"""What the writers of the soak do, each in one transaction; all return how many rows they have changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tests.integration.rows import RENAMED, RULES, WRITTEN, Written

if TYPE_CHECKING:
    from tests.soak.traffic import World

COPIED = 300
REFILLED = 300
"""Rows that stand in the emptied table again; the sweep looks at twice as many records in either store."""
TOGETHER = 7
"""Changes of a transaction at the most: four on average."""
LONG_SECONDS = (1.0, 5.0)


class TakenBack(Exception):
    """The transaction is to be rolled back."""


def change_of(written: Written) -> Callable[[sa.Connection, World], int]:
    """Mostly an update; a row may also go, come, hide, or change its key."""
    kinds: list[tuple[int, Callable[[sa.Connection, Written, World], int]]] = [
        (70, _update),
        (6, _twice),
        (6, _there_and_back),
        (6, _flip if "is_active" in written.table.c else _update),
        (3, _delete),
        (5, _insert),
        (2, _delete_and_insert),
        (2, _rename),
    ]
    weights, actions = zip(*kinds, strict=True)

    def change(connection: sa.Connection, world: World) -> int:
        chosen = world.dice.choices(actions, weights, k=world.dice.randint(1, TOGETHER))
        return sum(action(connection, written, world) for action in chosen)

    return change


def _set(connection: sa.Connection, written: Written, name: str, **values: Any) -> int:
    query = sa.update(written.table).where(written.where(name)).values(**values)
    return int(connection.execute(query).rowcount)


def _update(connection: sa.Connection, written: Written, world: World) -> int:
    return _set(connection, written, world.name(), **written.change(world.dice))


def _twice(connection: sa.Connection, written: Written, world: World) -> int:
    """A row twice in one transaction: both changes are of one position."""
    name = world.name()
    return sum(_set(connection, written, name, **written.change(world.dice)) for _ in range(2))


def _there_and_back(connection: sa.Connection, written: Written, world: World) -> int:
    """A row changes and is what it was, in one transaction or in two."""
    name = world.name()
    column = next(iter(written.change(world.dice)))
    found = connection.execute(sa.select(written.table.c[column]).where(written.where(name))).one_or_none()
    if found is None:
        return 0
    changed = _set(connection, written, name, **{column: written.change(world.dice)[column]})
    if world.dice.random() < 0.5:
        connection.commit()
    return changed + _set(connection, written, name, **{column: found[0]})


def _flip(connection: sa.Connection, written: Written, world: World) -> int:
    """Hidden rows become visible, and the other way round."""
    return _set(connection, written, world.name(), is_active=~written.table.c.is_active)


def _delete(connection: sa.Connection, written: Written, world: World) -> int:
    return connection.execute(sa.delete(written.table).where(written.where(world.name()))).rowcount


def _insert(connection: sa.Connection, written: Written, world: World) -> int:
    row = written.row(world.name())
    return connection.execute(pg.insert(written.table).values(row).on_conflict_do_nothing()).rowcount


def _delete_and_insert(connection: sa.Connection, written: Written, world: World) -> int:
    name = world.name()
    gone = connection.execute(sa.delete(written.table).where(written.where(name))).rowcount
    insert = pg.insert(written.table).values(written.row(name)).on_conflict_do_nothing()
    return gone + connection.execute(insert).rowcount


def _rename(connection: sa.Connection, written: Written, world: World) -> int:
    """The key changes: a delete and an insert, mostly on two partitions."""
    name = world.name().removesuffix(RENAMED)
    old, new = world.dice.sample([name, name + RENAMED], 2)
    return _set(connection, written, old, **written.key_of(new))


def text(connection: sa.Connection, world: World) -> int:
    """A text that nobody has embedded yet."""
    title = f"제목 {world.dice.randrange(1_000_000)}"
    return _set(connection, WRITTEN["policies"], world.name(), title=title)


def long(connection: sa.Connection, world: World) -> int:
    """Changes rows, waits, changes more, and ends or is taken back: its own number is old by then."""
    changed = 0
    for step in range(2):
        for written in WRITTEN.values():
            changed += _update(connection, written, world)
            if world.dice.random() < 0.3:
                changed += _delete(connection, written, world) + _insert(connection, written, world)
        if step == 0:
            world.enough.wait(world.dice.uniform(*LONG_SECONDS))
    if world.dice.random() < 0.4:
        raise TakenBack
    return changed


def lock(connection: sa.Connection, world: World) -> int:
    """Locks leave a transaction's number in xmax, even of one that changes nothing."""
    for written in WRITTEN.values():
        query = sa.select(*written.key).where(written.where(world.name()))
        weak = world.dice.random() < 0.7
        connection.execute(query.with_for_update(key_share=weak, read=weak))
    world.enough.wait(world.dice.uniform(0, 2))
    if world.dice.random() < 0.3:
        raise TakenBack
    return 0


def copy(connection: sa.Connection, world: World) -> int:
    """A few hundred rows at once, with those of last time gone."""
    (written,) = world.dice.sample([each for each in WRITTEN.values() if not each.refers], 1)
    prefix = f"{world.prefix}/copied-"
    gone = connection.execute(sa.delete(written.table).where(written.mine(prefix))).rowcount
    if world.dice.random() < 0.5:
        connection.commit()
    written.copy(connection, [written.row(f"{prefix}{n}") for n in range(COPIED)])
    return gone + COPIED


def truncate(connection: sa.Connection, world: World) -> int:
    """TRUNCATE and COPY in one transaction; rows that are not the soak's are put back in it."""
    _truncate(connection, world)
    return _fill(connection, world)


def truncate_apart(connection: sa.Connection, world: World) -> int:
    """The same, with the table without the soak's rows for a moment."""
    _truncate(connection, world)
    connection.commit()
    world.enough.wait(world.dice.uniform(0, 2))
    return _fill(connection, world)


def _truncate(connection: sa.Connection, world: World) -> None:
    connection.execute(sa.text("LOCK TABLE business_rules IN ACCESS EXCLUSIVE MODE"))
    mine = WRITTEN["business_rules"].mine(world.prefix)
    kept = [dict(row) for row in connection.execute(sa.select(RULES).where(~mine)).mappings()]
    connection.execute(sa.text("TRUNCATE business_rules"))
    if kept:
        connection.execute(sa.insert(RULES), kept)


def _fill(connection: sa.Connection, world: World) -> int:
    """COPY of the rows that nobody has inserted meanwhile."""
    written = WRITTEN["business_rules"]
    connection.execute(sa.text("LOCK TABLE business_rules IN SHARE ROW EXCLUSIVE MODE"))
    there = set(connection.scalars(sa.select(RULES.c.rule_id).where(written.mine(world.prefix))))
    names = [f"{world.prefix}-{n}" for n in range(REFILLED)]
    rows = [written.row(name) for name in names if name not in there]
    if rows:
        written.copy(connection, rows)
    return len(rows)
