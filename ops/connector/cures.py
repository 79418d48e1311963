"""Why a task failed and what helps: known failures by a pattern in their trace.

An error of PostgreSQL while the task reads is retried without end and never shows here; the same error while
the task starts does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SNAPSHOT_ANEW = (
    "aegis connector delete --offsets --slot, then aegis connector apply; rows deleted meanwhile stay in the "
    "stores until they are reconciled"
)
_RESTART = "then aegis connector restart --only-failed"


@dataclass(frozen=True)
class Cure:
    """`cause` in words, `next` what to run."""

    pattern: re.Pattern[str]
    cause: str
    next: str


def _cure(pattern: str, cause: str, then: str) -> Cure:
    return Cure(re.compile(pattern, re.IGNORECASE), cause, then)


CURES: Final = (
    _cure(
        r"no longer available on the server|replication slot .* does not exist|slot has been invalidated"
        r"|can no longer (get changes from|access) replication slot|requested WAL segment .* removed"
        r"|Cannot seek to the last known offset",
        "the replication slot is gone, or its log was removed before it was read",
        _SNAPSHOT_ANEW,
    ),
    _cure(
        r"replication slot .* is active",
        "another process reads the same replication slot",
        f"stop the other connector, {_RESTART}",
    ),
    _cure(
        r"publication .* does not exist|Publication autocreation is disabled",
        "the publication is missing",
        f"aegis migrate, {_RESTART}",
    ),
    _cure(
        r"password authentication failed|no password was provided",
        "PostgreSQL refuses the replication role's password",
        "start Connect's worker with the role's password in POSTGRES_DEBEZIUM_PASSWORD (locally: "
        "aegis stack down connect, aegis stack up), then aegis connector apply",
    ),
    _cure(r"permission denied", "the replication role lacks a right", f"aegis migrate, {_RESTART}"),
    _cure(
        r"Connection to .* refused|connection attempt failed|UnknownHostException",
        "Connect cannot reach PostgreSQL",
        f"aegis stack up postgres, or set CONNECT_POSTGRES_HOST and CONNECT_POSTGRES_PORT, {_RESTART}",
    ),
    _cure(
        r"wal_level|logical decoding requires",
        "PostgreSQL does not write a logical log",
        f"set wal_level=logical and restart PostgreSQL, {_RESTART}",
    ),
    _cure(
        r"all replication slots are in use|max_wal_senders",
        "PostgreSQL has no replication slot or sender left",
        f"raise max_replication_slots and max_wal_senders and restart PostgreSQL, {_RESTART}",
    ),
    _cure(
        r"Incompatible artifact|incompatible with an earlier schema",
        "the registry refuses a changed schema",
        f"aegis connector apply sets its compatibility to NONE, {_RESTART}",
    ),
    _cure(
        r"RecordTooLarge",
        "a row is larger than a record may be",
        "set KAFKA_MAX_MESSAGE_BYTES above the record's size, then aegis connector apply",
    ),
    _cure(
        r"Error (serializing|registering|retrieving) Avro",
        "the schema registry does not answer, or refuses",
        f"aegis stack up registry, {_RESTART}",
    ),
)


def find_cure(trace: str) -> Cure | None:
    """The first known failure that the trace shows."""
    return next((cure for cure in CURES if cure.pattern.search(trace)), None)


def causes(trace: str, most: int = 6, width: int = 300) -> list[str]:
    """The trace's chain of causes without its frames: at most `most` lines of `width` characters.

    The last lines hold the root cause, so those in the middle are left out first.
    """
    lines = [line.strip() for line in trace.splitlines()]
    kept = [line for line in lines if line and not line.startswith(("at ", "... "))]
    if len(kept) > most:
        kept = [kept[0], "...", *kept[2 - most :]]
    return [line if len(line) <= width else f"{line[: width - 3]}..." for line in kept]
