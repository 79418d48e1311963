"""How rows look in Neo4j: the statements that write and read a view, and its values both ways. Pure.

A row is one node: the view's name is its label, the row's key is `_key` under a uniqueness constraint, the
stamp is `_version`, `_seen`, `_xid` and `_fp`, a field is a property (absent for NULL), an edge is relations
to shared nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from neo4j.time import Date, DateTime

from processor.errors import RowRejected
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Put, Record, Restamp, Write
from processor.tables.base import Edge, FieldType, View

MAX_INDEXED_BYTES: Final = 8_000
"""The server of the 5.26 line indexes texts of up to 8,164 bytes, and refuses nodes with longer ones."""
_INT64: Final = range(-(2**63), 2**63)
_STAMP: Final = ("_version", "_seen", "_xid", "_fp")

# Reading is committed, not repeatable: what MATCH saw may be another transaction's past. A write to the node
# takes its lock until the commit, so what is compared after it stays true. The property is never committed.
_LOCK: Final = "SET n._lock = true REMOVE n._lock"
# As text, since it must equal itself whatever somebody else has put there: NaN and NULL do not
_TOKEN: Final = " + '|' + ".join(f"coalesce(toStringOrNull(n.{name}), '')" for name in _STAMP)


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
    `stamps` and `read` take `keys`, `page` takes `after` and `size`: they return lists of lists.
    """

    constraints: tuple[str, ...]
    targets: str | None
    create: str
    replace: str
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
    expected = f"UNWIND $rows AS row MATCH {node} {hint} {_LOCK} WITH n, row WHERE {_TOKEN} = row.token"
    put = " ".join(
        ["SET n = row.properties", *_times(view), *map(_relate, range(len(view.edges)), view.edges)]
    )
    found = f"UNWIND $keys AS key MATCH (n:{label} {{_key: key}}) {hint}"
    names = ", ".join(f"[{_pattern(edge)} | t.{quote(edge.name)}]" for edge in view.edges)
    return Statements(
        constraints=tuple(dict.fromkeys((_unique(view.name, "_key"), *map(_unique_target, view.edges)))),
        targets=_merge_targets(view.edges),
        create=(
            f"UNWIND $rows AS row MERGE {node} ON CREATE SET n._lock = true WITH n, row WHERE n._lock "
            f"{put} RETURN collect(row.key)"
        ),
        replace=f"{expected} {put} RETURN collect(row.key)",
        restamp=f"{expected} SET n += row.properties RETURN collect(row.key)",
        remove=f"{expected} DETACH DELETE n RETURN collect(row.key)",
        stamps=f"{found} RETURN collect([key, {_stamp_columns()}, {_TOKEN}])",
        read=f"{found} RETURN collect([key, properties(n), [{names}]])",
        # the index has the order of UTF-8's bytes; sorting would have that of UTF-16
        page=(
            f"MATCH (n:{label}) {hint} WHERE n._key > $after WITH n ORDER BY n._key LIMIT $size "
            f"RETURN collect([n._key, {_stamp_columns()}])"
        ),
        count=f"MATCH (n:{label}) RETURN count(n)",
    )


def _stamp_columns() -> str:
    return "[" + ", ".join(f"n.{name}" for name in _STAMP) + "]"


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


def row_of(view: View, write: Write) -> dict[str, Any]:
    """The parameters of one write.

    Raises:
        RowRejected: Neo4j can never hold one of its values; names the field.
    """
    row: dict[str, Any] = {"key": _indexed("key", write.key)}
    if write.expected is not None:
        row["token"] = write.expected.token
    if isinstance(write, Restamp):
        row["properties"] = _stamp_properties(write.stamp)
    if isinstance(write, Put):
        row["names"] = [_names(edge.column, write.body.get(edge.column)) for edge in view.edges]
        row["properties"] = {"_key": write.key, **_stamp_properties(write.stamp), **_fields(view, write.body)}
    return row


def _stamp_properties(stamp: Stamp) -> dict[str, Any]:
    return dict(zip(_STAMP, (stamp.version, stamp.seen, stamp.xid, stamp.fp), strict=True))


def _fields(view: View, body: Mapping[str, Any]) -> dict[str, Any]:
    for name in body.keys() - set(view.columns):
        raise RowRejected(name, f"view {view.name} has no such field")
    values = {name: (kind, body.get(name)) for name, kind in view.fields.items()}
    return {name: _CONVERT[kind](name, value) for name, (kind, value) in values.items() if value is not None}


def _names(column: str, names: Any) -> list[str]:
    if not isinstance(names, list):
        raise RowRejected(column, f"{names!r} is not a list")
    return sorted({_indexed(column, name) for name in names})


def _indexed(field: str, value: Any) -> str:
    text = _text(field, value)
    size = len(text.encode())
    if not 0 < size <= MAX_INDEXED_BYTES:
        raise RowRejected(field, f"has {size} bytes; 1 to {MAX_INDEXED_BYTES} can be indexed")
    return text


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RowRejected(name, f"{value!r} is not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowRejected(name, "holds half of a surrogate pair, which is no Unicode text") from None
    return value


def _texts(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise RowRejected(name, f"{value!r} is not a list")
    return [_text(name, item) for item in value]


def _long(name: str, value: Any) -> int:
    if type(value) is not int or value not in _INT64:
        raise RowRejected(name, f"{value!r} is not an integer of 64 bits")
    return value


def _double(name: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise RowRejected(name, f"{value!r} is not a number")
    return float(value)


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise RowRejected(name, f"{value!r} is not a boolean")
    return value


def _date(name: str, value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise RowRejected(name, f"{value!r} is not a date") from None


def _timestamp(name: str, value: Any) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo != UTC:
        raise RowRejected(name, f"{value!r} is not a time in UTC")
    return str(value)


_CONVERT: Final[Mapping[FieldType, Callable[[str, Any], Any]]] = {
    FieldType.KEYWORD: _text,
    FieldType.KEYWORDS: _texts,
    FieldType.KOREAN: _text,
    FieldType.STORED: _text,
    FieldType.LONG: _long,
    FieldType.DOUBLE: _double,
    FieldType.DATE: _date,
    FieldType.TIMESTAMP: _timestamp,
    FieldType.BOOLEAN: _boolean,
}


def stamp_of(values: Sequence[Any]) -> Stamp:
    """The stamp of `_version`, `_seen`, `_xid`, `_fp`; `UNREADABLE` where somebody else wrote them."""
    match values:
        case [int(version), int(seen), int() | None as xid, str(fp)] if not any(
            isinstance(value, bool) for value in values
        ):
            return Stamp(version, seen, xid, fp)
    return UNREADABLE


def record_of(view: View, properties: Mapping[str, Any], names: Sequence[Sequence[Any]]) -> Record:
    """A node as `read` returns it, as the record that `row_of` made it of."""
    body = {name: _plain(properties.get(name)) for name in view.fields}
    for edge, found in zip(view.edges, names, strict=True):
        body[edge.column] = sorted({name for name in found if isinstance(name, str)})
    return Record(stamp_of([properties.get(name) for name in _STAMP]), body)


def _plain(value: Any) -> Any:
    if isinstance(value, Date):
        return value.iso_format()
    if isinstance(value, DateTime):
        # nine digits of fraction are iso_format's; ours has six, and is in UTC
        return value.iso_format()[:26] + "Z"
    return value
