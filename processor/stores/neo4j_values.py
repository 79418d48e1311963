"""What Neo4j holds of a row: parameters of a write, and records as they are read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from neo4j.time import Date, DateTime

from processor.errors import RowRejected
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Put, Record, Restamp, Write
from processor.tables.base import FieldType, View

MAX_INDEXED_BYTES: Final = 8_000
"""The server of the 5.26 line indexes texts of up to 8,164 bytes, and refuses nodes with longer ones."""
STAMP: Final = ("_version", "_seen", "_xid", "_fp")
"""Properties that hold it."""
_INT64: Final = range(-(2**63), 2**63)


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
        row["properties"] = {**_identity(view, write.key), **_stamp_properties(write.stamp)}
        row["properties"] |= _fields(view, write.body)
    return row


def _identity(view: View, key: str) -> dict[str, str]:
    return {"_key": key, "_id": key} if view.hub else {"_key": key}


def _stamp_properties(stamp: Stamp) -> dict[str, Any]:
    return dict(zip(STAMP, (stamp.version, stamp.seen, stamp.xid, stamp.fp), strict=True))


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
    return Record(stamp_of([properties.get(name) for name in STAMP]), body)


def _plain(value: Any) -> Any:
    if isinstance(value, Date):
        return value.iso_format()
    if isinstance(value, DateTime):
        # nine digits of fraction are iso_format's; ours has six, and is in UTC
        return value.iso_format()[:26] + "Z"
    return value
