"""How a record lies in a Milvus collection: names, columns, filters, record <-> entity. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from processor.errors import RowRejected
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Held, Put, Record, Restamp
from processor.stores.milvus_values import Column, decode, encode, value_columns
from processor.tables.base import View
from processor.vector import Vector

KEY: Final = "_key"
VECTOR: Final = "embedding"
STAMP_COLUMNS: Final = ("_version", "_seen", "_xid", "_fp")
MAX_KEY_BYTES: Final = 1_024
_NO_XID: Final = -1

Entity = dict[str, Any]


def columns_of(view: View, dim: int) -> dict[str, Column]:
    """All columns of the view's collection by name, the primary key first."""
    return {**_OURS, **value_columns(view), VECTOR: Column("FLOAT_VECTOR", dim)}


def collection_name(view: View, model: str, dim: int) -> str:
    """Name of the collection of the view's vectors by this model; readers use the alias `view.name`."""
    digest = hashlib.md5(f"{model} {dim}".encode(), usedforsecurity=False).hexdigest()
    return f"{view.name}__{digest[:8]}"


def is_collection_of(view: View, name: str) -> bool:
    """Whether `collection_name` may have made this name for the view."""
    return re.fullmatch(re.escape(view.name) + "__[0-9a-f]{8}", name) is not None


def quote(text: str) -> str:
    """A string literal of a filter: exact on milvus-lite and on servers, whatever the text holds."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def one_of(keys: Iterable[str]) -> str:
    """Filter of the records with these keys."""
    return f"{KEY} in [{','.join(map(quote, keys))}]"


def after(key: str | None) -> str:
    """Filter of the records whose key follows `key` in byte order; of all for None."""
    return f'{KEY} >= ""' if key is None else f"{KEY} > {quote(key)}"


def key_fits(key: str) -> bool:
    """Whether a record may have this key."""
    return 0 < len(key.encode()) <= MAX_KEY_BYTES


def entity_of_put(view: View, put: Put, model: str, dim: int) -> Entity:
    """The whole entity of a Put.

    Raises:
        RowRejected: Milvus cannot hold the key, a value or the vector; names the field.
    """
    if not key_fits(put.key):
        raise RowRejected("key", f"{len(put.key.encode())} bytes; 1 to {MAX_KEY_BYTES} can be held")
    vector = _checked(put.vector, model, dim)
    return {
        KEY: put.key,
        **_stamp_columns(put.stamp),
        "_text_hash": vector.text_hash,
        "_vector_hash": vector.checksum,
        **encode(view, put.body),
        VECTOR: vector.values,
    }


def entity_of_restamp(restamp: Restamp) -> Entity:
    """The entity as it was read, under another stamp: an upsert must name every column."""
    return {**restamp.expected.token, **_stamp_columns(restamp.stamp)}


def held_of(entity: Entity, model: str) -> Held:
    """What `stamps` says of an entity as read; the token is all of it."""
    return Held(stamp_of(entity), entity, _vector(entity, model))


def record_of(view: View, entity: Entity, model: str) -> Record:
    """The record of an entity as read."""
    return Record(stamp_of(entity), decode(view, entity), _vector(entity, model))


def stamp_of(entity: Mapping[str, Any]) -> Stamp:
    """The stamp of an entity as read; UNREADABLE where the columns hold none of ours."""
    version, seen, xid, fp = (entity[name] for name in STAMP_COLUMNS)
    if min(version, seen) < 0 or xid < _NO_XID or not fp:
        return UNREADABLE
    return Stamp(version, seen, None if xid == _NO_XID else xid, fp)


def size_of(entity: Entity) -> int:
    """Bytes that an entity takes on the wire, roughly."""
    return sum(_size(value) for value in entity.values())


def _size(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(value.encode()) if isinstance(value, str) else 8


def _stamp_columns(stamp: Stamp) -> Entity:
    xid = _NO_XID if stamp.xid is None else stamp.xid
    return dict(zip(STAMP_COLUMNS, (stamp.version, stamp.seen, xid, stamp.fp), strict=True))


def _checked(vector: Vector | None, model: str, dim: int) -> Vector:
    """A batch of mixed lengths kills a server of the 2.3 line; milvus-lite takes NaN."""
    if vector is None:
        raise RowRejected(VECTOR, "there is none")
    if vector.model != model:
        raise RowRejected(VECTOR, f"made by {vector.model}, this collection is for {model}")
    if vector.values.dtype != np.float32 or vector.values.shape != (dim,):
        raise RowRejected(
            VECTOR, f"{vector.values.dtype}{list(vector.values.shape)}, this collection holds float32[{dim}]"
        )
    if not np.isfinite(vector.values).all():
        raise RowRejected(VECTOR, "a component is not a finite number")
    return vector


def _vector(entity: Mapping[str, Any], model: str) -> Vector | None:
    """None when somebody changed the vector: then nobody reuses it, and every comparison sees it missing."""
    vector = Vector(entity[VECTOR], model, entity["_text_hash"])
    return vector if vector.checksum == entity["_vector_hash"] else None


_OURS: Final[Mapping[str, Column]] = {
    KEY: Column("VARCHAR", MAX_KEY_BYTES),
    "_version": Column("INT64"),
    "_seen": Column("INT64"),
    "_xid": Column("INT64"),
    "_fp": Column("VARCHAR", 64),
    "_text_hash": Column("VARCHAR", 64),
    "_vector_hash": Column("VARCHAR", 64),
}
