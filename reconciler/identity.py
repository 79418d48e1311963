"""Which PostgreSQL this is: the one that the stores' versions count from, or a copy of it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from sql.queries import QUERIES


@dataclass(frozen=True, slots=True)
class Identity:
    """A cluster, and which of its histories: promoting or restoring begins another timeline."""

    system: str
    timeline: int

    def __str__(self) -> str:
        return f"cluster {self.system}, timeline {self.timeline}"


def read_identity(connection: sa.Connection) -> Identity:
    """Of the primary that is asked."""
    return Identity(*connection.execute(sa.text(QUERIES["identity"])).one())
