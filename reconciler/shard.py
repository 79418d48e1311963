"""A share of all keys, by hash: the same in PostgreSQL as here, so both sides leave out the same keys."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BIT

from processor.errors import ConfigurationError

DIGITS = 7
"""Hexadecimal digits of the key's md5: 28 bits, which fit into PostgreSQL's integer."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Keys whose hash leaves `number` when divided by `count`; another `salt` makes other shares."""

    number: int = 0
    count: int = 1
    salt: str = ""

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of `i/n`, i from 0.

        Raises:
            ConfigurationError: not written so, or i is not below n.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if found is None or not int(found[1]) < int(found[2]):
            raise ConfigurationError(f"--shard {text!r} is not i/n with i below n", hint="--shard 0/4")
        return cls(int(found[1]), int(found[2]))

    def takes(self, key: str) -> bool:
        """Whether a key belongs to it."""
        if self.count == 1:
            return True
        digest = hashlib.md5((self.salt + key).encode(), usedforsecurity=False).hexdigest()
        return int(digest[:DIGITS], 16) % self.count == self.number

    def condition(self, key: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """The same as SQL of a key as text."""
        if self.count == 1:
            return sa.true()
        digits = sa.literal("x") + sa.func.left(sa.func.md5(sa.literal(self.salt) + key), DIGITS)
        number = sa.cast(sa.cast(digits, BIT(4 * DIGITS)), sa.Integer)
        return number % self.count == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"
