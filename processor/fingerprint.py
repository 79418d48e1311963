"""64-bit fingerprint of the columns a view uses.

md5 over a canonical text, first 16 hexadecimal digits. The text is typed, length-prefixed and keeps NULL,
the empty text and the empty list apart, so that no two different rows share it. `fingerprint_sql` has
PostgreSQL compute the same number: every form here is one that it makes with IMMUTABLE functions.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from processor.rows import Kind, Row

LETTERS: Final[Mapping[Kind, str]] = {
    Kind.TEXT: "s",
    Kind.INTEGER: "n",
    Kind.NUMERIC: "n",
    Kind.DATE: "n",
    Kind.TIMESTAMP: "n",
    Kind.FLOAT: "f",
    Kind.BOOLEAN: "b",
    Kind.TEXT_LIST: "a",
}
NULL: Final = "-"
DIGITS: Final = 16
_json: Final = json.JSONEncoder(ensure_ascii=False).encode


def fingerprint(kinds: Mapping[str, Kind], columns: Sequence[str], row: Row) -> str:
    """16 hexadecimal digits over `columns` of `row`, in the order given."""
    return fingerprint_of(canonical(kinds[name], row.get(name)) for name in columns)


def fingerprint_of(parts: Iterable[str]) -> str:
    """The same, of the columns' canonical texts."""
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()[:DIGITS]


def canonical(kind: Kind, value: Any) -> str:
    """One value as `<letter><length in bytes>:<text>`; `-` for NULL."""
    if value is None:
        return NULL
    text = _text(kind, value)
    return f"{LETTERS[kind]}{len(text.encode())}:{text}"


def _text(kind: Kind, value: Any) -> str:
    if kind is Kind.FLOAT:
        # its bits, where every NaN is one: the sign of 'inf' - 'inf' depends on the processor
        return struct.pack(">d", math.nan if math.isnan(value) else value).hex()
    if kind is Kind.BOOLEAN:
        return "true" if value else "false"
    if kind is Kind.TEXT_LIST:
        # PostgreSQL's JSON, with '' for every name: its other ways from array to text are not IMMUTABLE
        return "{" + ", ".join(f'"" : {_json(item)}' for item in value) + "}"
    return str(value)
