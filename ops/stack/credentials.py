"""Passwords of the local servers, and a key for fields: random, made at the first `up`, for their user."""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ops.stack.layout import StackLayout


def _password() -> str:
    # hexadecimal: Neo4j's tool takes a password that begins with a dash for an option
    return secrets.token_hex(24)


def _field_key() -> str:
    from sql.sealed import KEY_BYTES

    return f"local:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


@dataclass(frozen=True)
class Credentials:
    """One password per account. They differ, so that a role that uses another's is noticed."""

    postgres_superuser: str = field(default_factory=_password, repr=False)
    postgres_owner: str = field(default_factory=_password, repr=False)
    postgres_debezium: str = field(default_factory=_password, repr=False)
    postgres_processor: str = field(default_factory=_password, repr=False)
    neo4j: str = field(default_factory=_password, repr=False)
    field_key: str = field(default_factory=_field_key, repr=False)
    """ID:BASE64, for the encrypted fields of the users that `aegis seed` brings."""


def load_credentials(layout: StackLayout) -> Credentials:
    """Read the passwords, or make them at the first time and whenever a new account was added."""
    file = layout.credentials_file
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    credentials = Credentials(**{name: known[name] for name in Credentials.__annotations__ if name in known})
    if asdict(credentials) != known:
        write_private(file, json.dumps(asdict(credentials), indent=2))
    return credentials


def write_private(target: Path, text: str) -> None:
    """Write a file of mode 0600, complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        handle.write(text)
    partial.replace(target)
