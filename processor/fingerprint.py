"""64-bit fingerprint of the columns a view uses.

md5 over a canonical text, first 16 hexadecimal digits. The text is typed, length-prefixed and keeps NULL,
the empty text and the empty list apart, so that no two different rows share it. It uses only forms that
PostgreSQL can produce with IMMUTABLE functions, so that the database can compute the same number itself.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from processor.rows import Kind, Row


def fingerprint(kinds: Mapping[str, Kind], columns: Sequence[str], row: Row) -> str:
    """16 hexadecimal digits over `columns` of `row`, in the order given."""
    text = "".join(canonical(kinds[name], row.get(name)) for name in columns)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()[:16]


def canonical(kind: Kind, value: Any) -> str:
    """One value as `<type><length in bytes>:<text>`; `-` for NULL, also inside a list."""
    if value is None:
        return "-"
    if kind is Kind.TEXT_LIST:
        return f"a{len(value)}:" + "".join(canonical(Kind.TEXT, item) for item in value)
    if kind is Kind.BOOLEAN:
        return "b1:t" if value else "b1:f"
    if kind is Kind.FLOAT:
        return "f16:" + struct.pack(">d", value).hex()
    text = str(value)
    prefix = "s" if kind is Kind.TEXT else "n"
    return f"{prefix}{len(text.encode())}:{text}"
