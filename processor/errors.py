"""Every error that Aegis raises on purpose.

AegisError
├── ConfigurationError          a setting is wrong; nothing was started
├── SourceError        DP_1001  PostgreSQL, Kafka, Connect or the registry cannot be used
├── DecodeError        DP_1004  a message's bytes are not what the contract says (poison)
├── RowRejected        DP_2001  a row cannot be held by a store as it is (our own validation)
├── StoreError
│   ├── Unavailable    DP_300x  the store cannot take anything now: wait, then try again
│   ├── Rejected       DP_300x  the store refuses this record for good: dead letter
│   └── Misconfigured  DP_300x  the store is up, but not as we need it: an operator must act
├── TooManyDeadLetters DP_4003  the breaker stopped the processor
└── NotNotified                 a notice did not reach everybody whom it is for

Each carries a sentence (what happened and why) and a hint (the command to run next).
"""

from __future__ import annotations

from typing import ClassVar

STORE_CODES = {"milvus": "DP_3001", "neo4j": "DP_3002", "elasticsearch": "DP_3003", "redis": "DP_3005"}
"""Error code of a failed write per store; DP_3004 is kept for the reconciler's verdicts."""


class AegisError(Exception):
    """Parent of all: `str(error)` says what and why, `hint` names what to do next, `code` the DP code."""

    code: ClassVar[str | None] = None
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigurationError(AegisError):
    """A setting, file or tool that Aegis needs is missing or wrong."""

    exit_code = 10


class SourceError(AegisError):
    """PostgreSQL, Kafka, Connect or the schema registry refused or did not answer."""

    code = "DP_1001"
    retryable = True


class DecodeError(AegisError):
    """The bytes of a message do not follow the contract of its topic."""

    code = "DP_1004"


class RowRejected(AegisError):
    """A row cannot be projected: one of its fields does not fit what a store can hold."""

    code = "DP_2001"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


class StoreError(AegisError):
    """Something went wrong between the processor and one derived store."""

    def __init__(self, store: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{store}: {message}", hint=hint)
        self.store = store

    @property
    def dp_code(self) -> str:
        """The DP code of a failed synchronisation with this store."""
        return STORE_CODES.get(self.store, "DP_3000")


class Unavailable(StoreError):
    """The store cannot take anything now; the same request may succeed later."""

    retryable = True


class Rejected(StoreError):
    """The store refuses one record for good; a retry cannot help."""


class Misconfigured(StoreError):
    """The store answers, but is not set up as the processor needs it."""


class TooManyDeadLetters(AegisError):
    """More records than plausible would become dead letters: the fault is not in the records."""

    code = "DP_4003"
    exit_code = 3


class NotNotified(AegisError):
    """A notice did not reach every address; what it tells is unchanged by that."""

    retryable = True
