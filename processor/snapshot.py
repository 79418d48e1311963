"""What a PostgreSQL snapshot shows: which transactions had ended when a read began. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from processor.stamp import XID_LIMIT


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`pg_current_snapshot()`, and the next transaction id: all of 64 bits.

    The snapshot alone does not tell a running transaction from one that never was: its `xmax` is one past the
    last transaction that *ended*, and it lists no running one from there on.

    Attributes:
        xmin: every transaction below it had ended.
        xmax: none from it on had ended.
        running: those between the two that had not ended.
        following: no transaction from it on had begun.
    """

    xmin: int
    xmax: int
    running: frozenset[int]
    following: int

    @classmethod
    def parse(cls, text: str, following: int) -> Snapshot:
        """Of PostgreSQL's own text, `10:20:10,14,15`, and the lower 32 bits of the next transaction id."""
        xmin, xmax, running = text.split(":")
        listed = frozenset(map(int, filter(None, running.split(","))))
        return cls(int(xmin), int(xmax), listed, _widened(following, int(xmax)))

    def hides(self, xid: int) -> bool:
        """Whether the transaction with that 32-bit id had begun and not ended: its changes are not visible.

        A commit reaches the log, and with it us, before it becomes visible.
        """
        wide = _widened(xid, self.xmax)
        return wide in self.running or self.xmax <= wide < self.following

    def shows(self, xid: int) -> bool:
        """Whether the transaction with that 32-bit id had ended."""
        return not self.hides(xid) and not self.precedes(xid)

    def precedes(self, xid: int) -> bool:
        """Whether that 32-bit id had not been given to any transaction yet."""
        return _widened(xid, self.xmax) >= self.following


def _widened(xid: int, near: int) -> int:
    """Of the 64-bit ids that end in these 32 bits, the one nearest to `near`."""
    same = near - near % XID_LIMIT + xid % XID_LIMIT
    return min((same - XID_LIMIT, same, same + XID_LIMIT), key=lambda candidate: abs(candidate - near))
