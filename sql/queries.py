"""The named blocks of queries.sql."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import sqlalchemy as sa

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def _load() -> dict[str, str]:
    _, *parts = _NAME.split((Path(__file__).parent / "queries.sql").read_text())
    return {name: text.strip().removesuffix(";") for name, text in zip(parts[::2], parts[1::2], strict=True)}


QUERIES = _load()
"""Name -> SQL text; parameters are written `:name`, as SQLAlchemy's `text()` takes them."""


def run(connection: sa.Connection, name: str, **parameters: Any) -> sa.CursorResult[Any]:
    """Run a named block."""
    return connection.execute(sa.text(QUERIES[name]), parameters)
