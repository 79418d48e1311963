"""How a record lies in an index: mapping, stamp, lines of a bulk request. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from processor.errors import Misconfigured
from processor.stamp import Stamp
from processor.stores.base import Put, Remove, Write
from processor.tables.base import FieldType, View

NAME: Final = "elasticsearch"
STAMP: Final = "_stamp"
MAX_ID_BYTES: Final = 512
_TEXT: Final = {"type": "keyword", "index": False, "doc_values": False}
# a keyword longer than Lucene's 32,766 bytes would refuse the whole document: such a value stays readable
# but is not indexed (4 bytes a character at most)
_KEYWORD: Final = {"type": "keyword", "ignore_above": 8_191}
_TYPES: Final[Mapping[FieldType, dict[str, Any]]] = {
    FieldType.KEYWORD: _KEYWORD,
    FieldType.KEYWORDS: _KEYWORD,
    FieldType.KOREAN: {"type": "text", "analyzer": "nori"},
    FieldType.STORED: _TEXT,
    FieldType.LONG: {"type": "long"},
    FieldType.DOUBLE: {"type": "double"},
    FieldType.DATE: {"type": "date", "format": "strict_date"},
    FieldType.TIMESTAMP: {"type": "date", "format": "strict_date_time"},
    FieldType.BOOLEAN: {"type": "boolean"},
}
_STAMP_MAPPING: Final = {
    # doc_values of `key` give the scan its order: keywords sort by their UTF-8 bytes
    "properties": {"key": {"type": "keyword"}, "version": _TEXT, "seen": _TEXT, "xid": _TEXT, "fp": _TEXT}
}


def mapping_of(view: View) -> dict[str, Any]:
    """The index mapping of a view: its fields, the stamp, nothing else."""
    properties = {name: _TYPES[kind] for name, kind in view.fields.items()}
    return {"dynamic": "strict", "properties": {**properties, STAMP: _STAMP_MAPPING}}


def key_fits(key: str) -> bool:
    """Whether a document may have this key."""
    return 0 < len(key.encode()) <= MAX_ID_BYTES


def stamp_of(doc: Mapping[str, Any]) -> Stamp:
    """The stamp of a document as read; UNREADABLE where it is not ours."""
    return Stamp.from_text(doc["_source"].get(STAMP))


def scanned_key(doc: Mapping[str, Any]) -> str:
    """The key that the scan is sorted by.

    Raises:
        Misconfigured: a document of somebody else, which has none.
    """
    stamp = doc["_source"].get(STAMP)
    if not isinstance(stamp, dict) or stamp.get("key") != doc["_id"]:
        raise Misconfigured(
            NAME,
            f"document {doc['_id']!r} of index {doc['_index']} is not ours",
            hint="delete that document; our indices are for Aegis alone to write",
        )
    return str(doc["_id"])


def lines_of(write: Write) -> list[dict[str, Any]]:
    """The one or two lines of a write in a bulk request."""
    action: dict[str, Any] = {"_id": write.key}
    if write.expected is not None:
        action["if_seq_no"], action["if_primary_term"] = write.expected.token
    if isinstance(write, Remove):
        return [{"delete": action}]
    stamp = {STAMP: {"key": write.key, **write.stamp.to_text()}}
    if isinstance(write, Put):
        return [{"create" if write.expected is None else "index": action}, {**write.body, **stamp}]
    return [{"update": action}, {"doc": stamp}]


def size_of(write: Write) -> int:
    """Bytes that a write takes in a bulk request, roughly."""
    values = write.body.values() if isinstance(write, Put) else ()
    return 300 + sum(len(str(value).encode(errors="surrogatepass")) for value in values)
