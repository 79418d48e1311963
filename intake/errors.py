"""Why a command of the intake ends early. Part of the tree in processor/errors.py.

AegisError
├── StoppedEarly    exit code 4: told to stop; what was done stays, and the same command goes on
└── Busy            exit code 1: other transactions hold rows that it needs
"""

from __future__ import annotations

from processor.errors import AegisError


class StoppedEarly(AegisError):
    """Told to stop by a signal; what was done stays done."""

    exit_code = 4


class Busy(AegisError):
    """Other transactions held the rows for as long as we were ready to wait."""

    retryable = True
