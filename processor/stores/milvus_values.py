"""How the values of a record lie in the columns of a Milvus collection. Pure.

| field | column | where it is NULL |
|---|---|---|
| KEYWORD, KOREAN, STORED | VARCHAR | `""` |
| KEYWORDS | ARRAY<VARCHAR> | `[]`; a NULL in a list: `""` |
| LONG | INT64 | -1 |
| DOUBLE | DOUBLE | -1.0 |
| DATE | VARCHAR, `2025-01-31` | `""`, before every day |
| TIMESTAMP | INT64, microseconds since 1970-01-01 UTC | NULL_TIME, before every time |
| BOOLEAN | BOOL | false |

A Milvus of the 2.3 line has no NULL. The values above keep a NULL out of the usual filters. The array
`_nulls` names the columns that are NULL (and `regions[1]`, an element): nothing is lost, and -1 stays legal:
`funding_amount_max == -1 and not array_contains(_nulls, "funding_amount_max")`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from processor.errors import RowRejected
from processor.rows import format_timestamp, parse_timestamp
from processor.tables.base import FieldType, View

NULLS: Final = "_nulls"
NULL_TIME: Final = -(2**63) + 1
"""Not -2**63, which filters of the 2.3 line cannot spell."""
MAX_TEXT_BYTES: Final = 65_535
MAX_ITEMS: Final = 4_096
MAX_NAME_BYTES: Final = 256
_INT64: Final = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is the name of a pymilvus.DataType; `size` counts bytes of a text, components of a vector."""

    kind: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Codec:
    """`encode` raises ValueError with the reason why a value cannot be held."""

    column: Column
    null: Any
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def value_columns(view: View) -> dict[str, Column]:
    """The columns of the view's fields, and `_nulls`."""
    fields = {name: _CODECS[kind].column for name, kind in view.fields.items()}
    return {NULLS: Column("ARRAY", MAX_NAME_BYTES), **fields}


def encode(view: View, body: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a body, and which of them are NULL.

    Raises:
        RowRejected: a value cannot be held; names the field.
    """
    surprises = set(body) - set(view.fields)
    if surprises:
        raise RowRejected(min(surprises), "the view has no such field")
    values = {name: _encode(name, kind, body.get(name)) for name, kind in view.fields.items()}
    nulls = [null for name in view.fields for null in _nulls(name, body.get(name))]
    if len(nulls) > MAX_ITEMS:
        raise RowRejected(NULLS, f"{len(nulls)} NULLs; {MAX_ITEMS} can be held")
    return {NULLS: nulls, **values}


def decode(view: View, entity: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `encode`."""
    nulls = frozenset(entity[NULLS])
    return {name: _decode(name, kind, entity[name], nulls) for name, kind in view.fields.items()}


def _encode(name: str, kind: FieldType, value: Any) -> Any:
    codec = _CODECS[kind]
    if value is None:
        return codec.null
    try:
        return codec.encode(value)
    except ValueError as error:
        raise RowRejected(name, str(error)) from None


def _decode(name: str, kind: FieldType, value: Any, nulls: frozenset[str]) -> Any:
    if name in nulls:
        return None
    if kind is FieldType.KEYWORDS:
        return [None if f"{name}[{n}]" in nulls else item for n, item in enumerate(value)]
    return _CODECS[kind].decode(value)


def _nulls(name: str, value: Any) -> list[str]:
    if value is None:
        return [name]
    items = value if isinstance(value, list) else []
    return [f"{name}[{n}]" for n, item in enumerate(items) if item is None]


def _typed(value: Any, *types: type) -> Any:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ValueError(f"{value!r:.40} is a {type(value).__name__}, wanted {types[0].__name__}")
    return value


def _text(value: Any) -> str:
    text = str(_typed(value, str))
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        raise ValueError(f"{size} bytes; {MAX_TEXT_BYTES} can be held")
    return text


def _texts(value: Any) -> list[str]:
    items: Sequence[Any] = _typed(value, list)
    if len(items) > MAX_ITEMS:
        raise ValueError(f"{len(items)} items; {MAX_ITEMS} can be held")
    return ["" if item is None else _text(item) for item in items]


def _long(value: Any) -> int:
    number = int(_typed(value, int))
    if number not in _INT64:
        raise ValueError(f"{number} does not fit into 64 bits")
    return number


def _double(value: Any) -> float:
    number = float(_typed(value, float, int))
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


def _date(value: Any) -> str:
    if date.fromisoformat(_typed(value, str)).isoformat() != value:
        raise ValueError(f"{value!r:.40} is not a day like 2025-01-31")
    return str(value)


def _time(value: Any) -> int:
    micros = parse_timestamp(_typed(value, str))
    if format_timestamp(micros) != value:
        raise ValueError(f"{value!r:.40} is not a time like 2025-01-31T00:00:00.000000Z")
    return micros


def _boolean(value: Any) -> bool:
    return bool(_typed(value, bool))


_VARCHAR: Final = _Codec(Column("VARCHAR", MAX_TEXT_BYTES), "", _text, str)
_CODECS: Final[Mapping[FieldType, _Codec]] = {
    FieldType.KEYWORD: _VARCHAR,
    FieldType.KOREAN: _VARCHAR,
    FieldType.STORED: _VARCHAR,
    FieldType.KEYWORDS: _Codec(Column("ARRAY", MAX_TEXT_BYTES), [], _texts, list),
    FieldType.LONG: _Codec(Column("INT64"), -1, _long, int),
    FieldType.DOUBLE: _Codec(Column("DOUBLE"), -1.0, _double, float),
    FieldType.DATE: _Codec(Column("VARCHAR", 10), "", _date, str),
    FieldType.TIMESTAMP: _Codec(Column("INT64"), NULL_TIME, _time, format_timestamp),
    FieldType.BOOLEAN: _Codec(Column("BOOL"), False, _boolean, bool),
}
