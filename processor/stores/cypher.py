"""How rows look in Neo4j: the statements that write and read a view. Pure.

A row is one node: the view's name is its label, the row's key is `_key` under a uniqueness constraint, the
stamp is `_version`, `_seen`, `_xid` and `_fp`, a field is a property (absent for NULL), an edge is relations
to shared nodes.

Where a view has a hub, that shared node is the row's node: it is there as soon as another row's edge names
it, and stays when the row goes, so that edges neither wait for the row nor go with it. It holds `_id` only,
without the view's label and `_key`: no reader of the label and no scan meets it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from processor.stores.neo4j_values import STAMP
from processor.tables.base import Edge, FieldType, View

# Reading is committed, not repeatable: what MATCH saw may be another transaction's past. A write to the node
# takes its lock until the commit, so what is compared after it stays true. The property is never committed.
_LOCK: Final = "SET n._lock = true REMOVE n._lock"
# As text, since it must equal itself whatever somebody else has put there: NaN and NULL do not
_TOKEN: Final = " + '|' + ".join(f"coalesce(toStringOrNull(n.{name}), '')" for name in STAMP)


def quote(name: str) -> str:
    """A label, type or property name as Cypher takes it literally.

    Cypher reads \\u0060 as a backtick before it looks for the closing one, so no backslash may stay.
    """
    return "`" + name.replace("\\", "\\u005c").replace("`", "``") + "`"


@dataclass(frozen=True)
class Statements:
    """The statements of a view. Each returns one value: the driver takes some 50 us for every further record.

    `targets` takes `names`, a list per edge, and returns an empty list; it is None for a view without edges.
    `create`, `replace`, `restamp` and `remove` take `rows` and return the keys of those that were written.
    `restore` replaces a record whose stamp is not to be read: its node may have ceased to be the hub, so that
    others relate to another one.
    `stamps` and `read` take `keys`, `page` takes `after` and `size`: they return lists of lists.
    """

    constraints: tuple[str, ...]
    targets: str | None
    create: str
    replace: str
    restore: str | None
    restamp: str
    remove: str
    stamps: str
    read: str
    page: str
    count: str


def statements(view: View) -> Statements:
    """All statements of `view`, one text each, so that the server plans it once.

    The hints keep a plan that was made for an empty label from scanning a full one; and a missing
    constraint is told by the server as a hint that it cannot follow.
    """
    label = quote(view.name)
    node = f"(n:{label} {{_key: row.key}})"
    hint = f"USING INDEX n:{label}(_key)"
    hub = f"(n:{quote(view.hub)} {{_id: row.key}})" if view.hub else ""
    expected = f"UNWIND $rows AS row MATCH {node} {hint} {_LOCK} WITH n, row WHERE {_TOKEN} = row.token"
    put = " ".join(
        ["SET n = row.properties", *_times(view), *map(_relate, range(len(view.edges)), view.edges)]
    )
    found = f"UNWIND $keys AS key MATCH (n:{label} {{_key: key}}) {hint}"
    stamp = _if_hub(view, _stamp_columns(), "[]")
    names = ", ".join(f"[{_pattern(edge)} | t.{quote(edge.name)}]" for edge in view.edges)
    return Statements(
        constraints=_constraints(view),
        targets=_merge_targets(view.edges),
        create=(
            f"UNWIND $rows AS row {_claim_hub(view, hub) if hub else _claim(node)} "
            f"{put} RETURN collect(row.key)"
        ),
        replace=f"{expected} {put} RETURN collect(row.key)",
        restore=f"{expected} DETACH DELETE n WITH row {_claim_hub(view, hub)} {put} RETURN collect(row.key)"
        if hub
        else None,
        restamp=f"{expected} SET n += row.properties RETURN collect(row.key)",
        remove=f"{expected} {_leave_hub(view) if hub else 'DETACH DELETE n'} RETURN collect(row.key)",
        stamps=f"{found} RETURN collect([key, {stamp}, {_TOKEN}])",
        read=f"{found} RETURN collect([key, {_if_hub(view, 'properties(n)', '{}')}, [{names}]])",
        # the index has the order of UTF-8's bytes; sorting would have that of UTF-16
        page=(
            f"MATCH (n:{label}) {hint} WHERE n._key > $after WITH n ORDER BY n._key LIMIT $size "
            f"RETURN collect([n._key, {stamp}])"
        ),
        count=f"MATCH (n:{label}) RETURN count(n)",
    )


def _claim(node: str) -> str:
    """Exactly one transaction creates it."""
    return f"MERGE {node} ON CREATE SET n._lock = true WITH n, row WHERE n._lock"


def _claim_hub(view: View, hub: str) -> str:
    """It may be there, for others: it is free as long as `stamps` would not find it, asked under its lock."""
    label = quote(view.name)
    return (
        f"MERGE {hub} {_LOCK} WITH n, row WHERE NOT (n:{label} AND coalesce(n._key = row.key, false))"
        f" SET n:{label}"
    )


def _leave_hub(view: View) -> str:
    """Take away what is the row's: its own relations, its label, its properties. A node that never was a hub
    (somebody else's) goes altogether.
    """
    hub = quote(str(view.hub))
    own = "".join(
        f"WITH n, row, [{_pattern(edge)} | r] AS own FOREACH (r IN own | DELETE r) " for edge in view.edges
    )
    return (
        f"{own}REMOVE n:{quote(view.name)} SET n = {{_id: n._id}} WITH n, row "
        f"FOREACH (_ IN CASE WHEN n:{hub} THEN [] ELSE [n] END | DETACH DELETE n)"
    )


def _if_hub(view: View, found: str, else_: str) -> str:
    """What is found in a node that is what its view says; of any other there is no stamp to be read."""
    if view.hub is None:
        return found
    return f"CASE WHEN n:{quote(view.hub)} AND n._id = n._key THEN {found} ELSE {else_} END"


def _constraints(view: View) -> tuple[str, ...]:
    hub = [_unique(view.hub, "_id")] if view.hub else []
    return tuple(dict.fromkeys((_unique(view.name, "_key"), *hub, *map(_unique_target, view.edges))))


def _stamp_columns() -> str:
    return "[" + ", ".join(f"n.{name}" for name in STAMP) + "]"


def _unique(label: str, name: str) -> str:
    return f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{quote(label)}) REQUIRE n.{quote(name)} IS UNIQUE"


def _unique_target(edge: Edge) -> str:
    return _unique(edge.label, edge.name)


def _merge_targets(edges: Sequence[Edge]) -> str | None:
    """One statement: each is a round trip, of which a single change has few others."""
    merges = [
        f"UNWIND $names[{number}] AS name MERGE (:{quote(edge.label)} {{{quote(edge.name)}: name}})"
        " WITH count(*) AS merged "
        for number, edge in enumerate(edges)
    ]
    return "".join(merges) + "RETURN []" if merges else None


def _pattern(edge: Edge) -> str:
    return f"(n)-[r:{quote(edge.type)}]->(t:{quote(edge.label)})"


def _times(view: View) -> Iterator[str]:
    """Times travel as text: to pack one as a time takes the driver 40 us, more than all else of a policy."""
    for name, kind in view.fields.items():
        if kind is FieldType.TIMESTAMP:
            yield f"SET n.{quote(name)} = datetime(row.properties.{quote(name)})"


def _relate(number: int, edge: Edge) -> str:
    """Bring the relations of one edge to `row.names[number]`; what is right already is not touched.

    CREATE of what is known to be missing: MERGE would lock the shared node until the commit.
    """
    wanted, name = f"row.names[{number}]", f"t.{quote(edge.name)}"
    target = f"(t:{quote(edge.label)} {{{quote(edge.name)}: name}})"
    return (
        f"WITH n, row, [{_pattern(edge)} WHERE {name} IN {wanted} | {name}] AS kept,"
        f" [{_pattern(edge)} WHERE NOT coalesce({name} IN {wanted}, false) | r] AS old"
        f" FOREACH (r IN old | DELETE r)"
        f" FOREACH (name IN [name IN {wanted} WHERE NOT name IN kept] |"
        f" MERGE {target} CREATE (n)-[:{quote(edge.type)}]->(t))"
    )
