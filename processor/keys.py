"""Keys of rows: as bytes in Kafka, as text in the stores and on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from processor.errors import DecodeError

_ESCAPES = {"%": "%25", ",": "%2C", "=": "%3D"}


def parse_kafka_key(columns: Sequence[str], raw: bytes) -> dict[str, Any]:
    """The key columns and values of a message key as Connect's JsonConverter writes it.

    Raises:
        DecodeError: not a JSON object with exactly these columns.
    """
    try:
        key = json.loads(raw)
    except ValueError as error:
        raise DecodeError(f"key is not JSON: {error}") from error
    if not isinstance(key, dict) or set(key) != set(columns):
        raise DecodeError(f"key is not an object with exactly {', '.join(columns)}")
    return key


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
    return "".join(_ESCAPES.get(character, character) for character in value)


def _unescape(value: str) -> str:
    for character, escaped in reversed(_ESCAPES.items()):
        value = value.replace(escaped, character)
    return value
