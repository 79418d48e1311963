"""The keys of encrypted fields: which settings hold them, and the sealer that they make."""

from __future__ import annotations

import base64
import binascii
from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from processor.errors import ConfigurationError
from processor.settings import Block, read_block
from sql.sealed import KEY_BYTES, KEY_ID, Sealer


class FieldKeySettings(Block):
    """The keys of encrypted fields. Only programs that read or write such fields need them."""

    model_config = SettingsConfigDict(env_prefix="FIELD_")

    keys: SecretStr = Field(
        SecretStr(""), description="ID:BASE64, separated by spaces or commas; none: no keys"
    )
    # no FilePath: its refusal shows the value, which is a key where the two settings were mixed up
    keys_file: Path | None = Field(None, description="a file with the same, read in place of FIELD_KEYS")
    keys_current: str = Field("", description="id of the key that seals; needed when there are several")

    @property
    def _name(self) -> str:
        return "FIELD_KEYS_FILE" if self.keys_file else "FIELD_KEYS"

    @cached_property
    def by_id(self) -> dict[str, bytes]:
        """The keys, 32 bytes each, in the order they are written in."""
        text = self.keys_file.read_text("utf-8") if self.keys_file else self.keys.get_secret_value()
        found: dict[str, bytes] = {}
        for position, entry in enumerate(text.replace(",", " ").split(), 1):
            name, _, encoded = entry.partition(":")
            where = f"{self._name}: key {position}"
            if not KEY_ID.fullmatch(name):
                raise ValueError(
                    f"{where} is not ID:BASE64, ID being 1 to 32 letters, digits, '.', '_' or '-'"
                )
            if name in found:
                raise ValueError(f"{where} has the id of an earlier one, {name}")
            found[name] = _decode(f"{where} ({name})", encoded)
        return found

    @property
    def current(self) -> str:
        """Id of the key that seals; the only one when none is named."""
        return self.keys_current or next(iter(self.by_id), "")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        # a wrong id is not shown: it may be a key in the wrong place
        try:
            keys = self.by_id
        except OSError as error:
            raise ValueError(f"{self._name} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{self._name} cannot be read: it holds no UTF-8 text") from None
        known = f"{self._name} holds {', '.join(keys) or 'no key'}"
        if self.keys_current and self.keys_current not in keys:
            raise ValueError(f"FIELD_KEYS_CURRENT names none of the keys: {known}")
        if len(keys) > 1 and not self.keys_current:
            raise ValueError(f"FIELD_KEYS_CURRENT must say which key seals: {known}")
        return self


def find_sealer() -> Sealer | None:
    """What seals and opens fields here; None when no key is configured.

    Raises:
        ConfigurationError: a key is wrong; says which by its id or position, never what it is.
    """
    settings = read_block(FieldKeySettings)
    return Sealer(settings.by_id, settings.current) if settings.by_id else None


def load_sealer() -> Sealer:
    """The same for programs that cannot do without.

    Raises:
        ConfigurationError: a key is wrong, or there is none.
    """
    sealer = find_sealer()
    if sealer is None:
        raise ConfigurationError(
            "no key of encrypted fields is configured: FIELD_KEYS and FIELD_KEYS_FILE are empty",
            hint="aegis keys generate (local servers: aegis stack up)",
        )
    return sealer


def _decode(which: str, encoded: str) -> bytes:
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError(f"{which} is not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"{which} has {len(key)} bytes, not {KEY_BYTES}")
    return key
