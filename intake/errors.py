"""Why a command of the intake ends early. Part of the tree in processor/errors.py.

AegisError
├── StoppedEarly           exit code 4: told to stop; what was done stays, and the same command goes on
├── Busy                   exit code 1: other transactions hold rows that it needs
├── BadPath       DP_2001  exit code 2: what was given is no path of labels
├── UnknownPath   DP_2001  exit code 1: no node of the taxonomy has this path
├── Refused                exit code 1: PostgreSQL refuses a row; the code is the refusal's
└── SomeBad                exit code 3: all is done, but some lines were bad and are recorded
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from processor.errors import AegisError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intake.paths import Candidate, Path
    from intake.refusals import Refusal


class StoppedEarly(AegisError):
    """Told to stop by a signal; what was done stays done."""

    exit_code = 4


class Busy(AegisError):
    """Other transactions held the rows for as long as we were ready to wait."""

    retryable = True


class BadPath(AegisError):
    """What was given is no path of labels."""

    code = "DP_2001"
    exit_code = 2


class UnknownPath(AegisError):
    """No node has this path. `closest`: of each such path what may have been meant, the closest first."""

    code = "DP_2001"

    def __init__(self, message: str, closest: Mapping[Path, tuple[Candidate, ...]], *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.closest = closest


class Refused(AegisError):
    """PostgreSQL refuses a row, so nothing of what belongs to it was written."""

    def __init__(self, refusal: Refusal, *, hint: str | None = None) -> None:
        super().__init__(str(refusal), hint=hint)
        self.code = refusal.code  # type: ignore[misc]
        self.refusal = refusal


class SomeBad(AegisError):
    """All is done, but some lines were bad; they are in intake_letters."""

    exit_code = 3
