"""Fields that are encrypted (AES-256-GCM): what a value looks like, sealing and opening it. Pure.

A sealed value is

    1 byte      format, 0x01
    1 byte      length of the key's id
    ...         the key's id, ASCII
    12 bytes    nonce, random
    ...         ciphertext of a JSON object, and the tag of 16 bytes

The header up to the nonce, the table, the column and the row's key are authenticated with it: a value that
was moved to another row or column does not open. NIST SP 800-38D allows 2^32 values under one key with random
nonces: rotate long before.

SealedError             what str(error) says names the column, the row's key and the key's id, never a value
├── NotSealed           not in this format: plain, cut off, or of a newer version
├── UnknownKey          sealed under a key that is not configured
├── NotAuthentic        altered, moved from elsewhere, or the key of this id is another one
└── NotAnObject         what is to be sealed, or was sealed, is no JSON object
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORMAT: Final = 1
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
KEY_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands; `key` is the row's key as text."""

    table: str
    column: str
    key: str

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.column}"


class SealedError(Exception):
    """A value cannot be sealed or opened; `reason` is for lists that name the `place` already."""

    hint = "aegis keys status"

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class NotSealed(SealedError):
    """It is not in this format: plain, cut off, or of a newer version."""


class UnknownKey(SealedError):
    """It was sealed under a key that is not configured."""

    hint = "put the key back into FIELD_KEYS, beside the current one, then: aegis keys status"


class NotAuthentic(SealedError):
    """It was altered, moved from another row or column, or the key of its id is another one."""


class NotAnObject(SealedError):
    """It is no JSON object."""

    hint = "personal fields are JSON objects: texts, finite numbers, lists and objects"


class Sealer:
    """Seals under the current key, and opens what any of the keys has sealed."""

    def __init__(self, keys: Mapping[str, bytes], current: str) -> None:
        """`keys`: id -> 32 bytes; raises ValueError when one is none, or `current` is not among them."""
        if wrong := [
            name for name, key in keys.items() if len(key) != KEY_BYTES or not KEY_ID.fullmatch(name)
        ]:
            raise ValueError(f"not keys of {KEY_BYTES} bytes under a name: {len(wrong)} of {len(keys)}")
        if current not in keys:
            raise ValueError("the current key is not among the keys")
        self.current = current
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of all keys, as they were given."""
        return tuple(self._ciphers)

    @property
    def header(self) -> bytes:
        """How every value under the current key begins, and no value under another one."""
        return _header(self.current)

    def seal(self, place: Place, value: Mapping[str, Any]) -> bytes:
        """Encrypt a JSON object for this place only.

        Raises:
            NotAnObject: it cannot be written as JSON.
        """
        if not isinstance(value, Mapping):
            raise NotAnObject(place, "not a JSON object")
        try:
            plain = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError):  # their messages may hold the value
            raise NotAnObject(place, "cannot be written as JSON") from None
        return self._encrypt(place, plain)

    def open(self, place: Place, sealed: bytes) -> dict[str, Any]:
        """Decrypt what was sealed for this place.

        Raises:
            SealedError: see the tree above.
        """
        try:
            value = json.loads(self._decrypt(place, sealed))
        except (ValueError, RecursionError):
            raise NotAnObject(place, "what was sealed is no JSON") from None
        if not isinstance(value, dict):
            raise NotAnObject(place, "what was sealed is no JSON object")
        return value

    def reseal(self, place: Place, sealed: bytes) -> bytes:
        """The same contents under the current key; raises as `open`."""
        return self._encrypt(place, self._decrypt(place, sealed))

    def _encrypt(self, place: Place, plain: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._ciphers[self.current]
        return self.header + nonce + cipher.encrypt(nonce, plain, _associated(place, self.header))

    def _decrypt(self, place: Place, sealed: bytes) -> bytes:
        name = key_id(place, sealed)
        if name not in self._ciphers:
            raise UnknownKey(place, f"sealed under key {name}, which is not configured")
        header = _header(name)
        nonce, body = sealed[len(header) :][:NONCE_BYTES], sealed[len(header) + NONCE_BYTES :]
        try:
            return self._ciphers[name].decrypt(nonce, body, _associated(place, header))
        except InvalidTag:
            raise NotAuthentic(
                place, f"altered, moved from another place, or key {name} is not the one it was sealed under"
            ) from None


def key_id(place: Place, sealed: bytes) -> str:
    """Id of the key that a value was sealed under.

    Raises:
        NotSealed: it is not in this format.
    """
    if len(sealed) < 2 or sealed[0] != FORMAT:
        raise NotSealed(place, "not sealed, or in a newer format")
    end = 2 + sealed[1]
    name = sealed[2:end].decode("latin-1")
    if not KEY_ID.fullmatch(name) or len(sealed) < end + NONCE_BYTES + TAG_BYTES:
        raise NotSealed(place, "not sealed, or cut off")
    return name


def sealed_columns(table: sa.Table) -> list[sa.Column[Any]]:
    """The table's encrypted columns (`info` SEALED of the model)."""
    return [column for column in table.columns if column.info.get("sealed")]


def place_of(table: sa.Table, column: str, row: Mapping[Any, Any]) -> Place:
    """Where a value of a row stands; the table has one key column."""
    [identity] = table.primary_key
    key = row[identity.name]
    # one UUID can be written in several ways
    return Place(table.name, column, str(UUID(str(key)) if isinstance(identity.type, sa.Uuid) else key))


def seal_row(table: sa.Table, row: Mapping[str, Any], sealer: Sealer) -> dict[str, Any]:
    """The row as it is to be written: objects in encrypted columns are sealed; None stays None.

    The key must be the writer's (a UUID that it makes): what the database would make is not known yet.

    Raises:
        KeyError: the row has no key.
        NotAnObject: what is to be sealed is no JSON object.
    """
    return _each_sealed(table, row, sealer.seal)


def open_row(table: sa.Table, row: Mapping[Any, Any], sealer: Sealer) -> dict[str, Any]:
    """A row as it was read, with the objects that its encrypted columns hold; raises SealedError."""
    return _each_sealed(table, row, lambda place, value: sealer.open(place, bytes(value)))


def _each_sealed(
    table: sa.Table, row: Mapping[Any, Any], turn: Callable[[Place, Any], Any]
) -> dict[str, Any]:
    names = [column.name for column in sealed_columns(table) if row.get(column.name) is not None]
    return {**row, **{name: turn(place_of(table, name, row), row[name]) for name in names}}


def _header(name: str) -> bytes:
    return bytes((FORMAT, len(name))) + name.encode()


def _associated(place: Place, header: bytes) -> bytes:
    """Each part with its length before it, so that no two places give the same bytes."""
    parts = (header, place.table.encode(), place.column.encode(), place.key.encode())
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
