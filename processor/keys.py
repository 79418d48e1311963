"""Keys of rows: as bytes in Kafka, as text in the stores and on the command line."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from processor.errors import DecodeError
from processor.rows import Kind

ESCAPES: Final = {"%": "%25", ",": "%2C", "=": "%3D"}
"""What a part of a composite key spells otherwise; `%` first."""
_JSON = {ord('"'): '\\"', ord("\\"): "\\\\"}
_JSON |= {code: f"\\u{code:04X}" for code in range(0x20)}
_JSON |= {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}
"""What Connect's JSON library (Jackson) escapes, and how; Python's spells \\u001F with a small f."""
_BEYOND_16_BITS = re.compile("[\U00010000-\U0010ffff]")


def parse_kafka_key(columns: Sequence[str], raw: bytes) -> dict[str, Any]:
    """The key columns and values of a message key as Connect's JsonConverter writes it.

    Raises:
        DecodeError: not a JSON object with exactly these columns.
    """
    try:
        key = json.loads(raw)
    except (ValueError, RecursionError) as error:  # Python's parser gives up on deep nesting
        raise DecodeError(f"key is not JSON: {error}") from error
    if not isinstance(key, dict) or set(key) != set(columns):
        raise DecodeError(f"key is not an object with exactly {', '.join(columns)}")
    return key


def kafka_key(columns: Sequence[str], values: Mapping[str, Any]) -> bytes:
    """The inverse of `parse_kafka_key`: byte for byte what Connect writes, so that both hash alike.

    Raises:
        TypeError: a value's type is none that a key may have.
    """
    pairs = ",".join(f"{_json(name)}:{_json(values[name])}" for name in columns)
    return f"{{{pairs}}}".encode()


def _json(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f'"{_BEYOND_16_BITS.sub(_surrogates, value.translate(_JSON))}"'
    raise TypeError(f"{type(value).__name__} cannot be part of a key")


def _surrogates(character: re.Match[str]) -> str:
    """As Jackson writes what takes four bytes in UTF-8: two escapes."""
    high, low = struct.unpack(">HH", character[0].encode("utf-16-be"))
    return f"\\u{high:04X}\\u{low:04X}"


def key_values(kinds: Mapping[str, Kind], columns: Sequence[str], text: str) -> dict[str, Any]:
    """The key columns' values in Row form, of a key as text.

    Raises:
        ValueError: the text does not name exactly these columns, or a value is not of its column's kind.
    """
    return {name: _value(kinds[name], value) for name, value in parse_key_text(columns, text).items()}


def check_key_value(column: sa.Column[Any], kind: Kind, value: Any) -> Any:
    """A key column's value in Row form, as PostgreSQL itself would write it.

    Raises:
        ValueError: no row can have it, and PostgreSQL would refuse to look for it.
    """
    if kind in (Kind.INTEGER, Kind.DATE):
        bits = next(n for types, n in _BITS if isinstance(column.type, types))
        if type(value) is int and -(1 << bits - 1) <= value < 1 << bits - 1:
            return value
    elif kind is Kind.BOOLEAN:
        if isinstance(value, bool):
            return value
    elif isinstance(value, str) and "\0" not in value and is_unicode(value):
        if isinstance(column.type, sa.Uuid):
            return str(UUID(value))
        length = getattr(column.type, "length", None)
        if length is None or len(value) <= length:
            return value
    raise ValueError(f"{column.name} cannot be {value!r}")


def is_unicode(text: str) -> bool:
    """Whether PostgreSQL can hold the text, but for NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


_BITS: Final = ((sa.SmallInteger, 16), (sa.BigInteger, 64), ((sa.Integer, sa.Date), 32))


def _value(kind: Kind, text: str) -> Any:
    if kind in (Kind.INTEGER, Kind.DATE):
        return int(text)
    if kind is Kind.BOOLEAN and text in ("True", "False"):
        return text == "True"
    return text


def key_text(columns: Sequence[str], values: Mapping[str, Any]) -> str:
    """One column: the plain value. Several: `col=value,col=value`, with `%`, `,` and `=` escaped."""
    if len(columns) == 1:
        return str(values[columns[0]])
    return ",".join(f"{name}={_escape(str(values[name]))}" for name in columns)


def parse_key_text(columns: Sequence[str], text: str) -> dict[str, str]:
    """The inverse of `key_text`.

    Raises:
        ValueError: the text does not name exactly these columns.
    """
    if len(columns) == 1:
        return {columns[0]: text}
    pairs = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    if list(pairs) != list(columns):
        raise ValueError(f"expected {','.join(f'{name}=...' for name in columns)}, got {text!r}")
    return {name: _unescape(value) for name, value in pairs.items()}


def _escape(value: str) -> str:
    return "".join(ESCAPES.get(character, character) for character in value)


def _unescape(value: str) -> str:
    for character, escaped in reversed(ESCAPES.items()):
        value = value.replace(escaped, character)
    return value
