"""Why a run ends without an answer. Part of the tree in processor/errors.py.

AegisError
├── CannotVerify    exit code 3: what the stores show cannot be compared with a position of the log
├── OutOfOrder      exit code 3: a reader gave keys in another order than that of their bytes
├── StoppedEarly    exit code 4: the run was told to stop, or its time is up; it can be continued
├── TooDifferent    exit code 4: so much differs that judging each record makes no sense
└── Overlapping     exit code 5: another run holds the lock
"""

from __future__ import annotations

from processor.errors import AegisError


class CannotVerify(AegisError):
    """Never "drift", never "ok": the names of the cause and of the cure are all that can be said."""

    exit_code = 3


class OutOfOrder(AegisError):
    """A reader gave keys in another order than that of their bytes: what it left out is unknown."""

    exit_code = 3


class StoppedEarly(AegisError):
    """The run stopped before its end; the next one of the same scope goes on from there."""

    exit_code = 4


class TooDifferent(AegisError):
    """More records differ than a run looks at one by one."""

    exit_code = 4


class Overlapping(AegisError):
    """Another run is at work."""

    exit_code = 5
