"""What a PostgreSQL snapshot shows: which transactions had ended when a read began. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from processor.stamp import XID_LIMIT


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`pg_current_snapshot()`: 64-bit transaction ids.

    Attributes:
        xmin: every transaction below it had ended.
        xmax: no transaction from it on had begun.
        running: those between the two that had not ended.
    """

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Of PostgreSQL's own text: `10:20:10,14,15`."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, filter(None, running.split(",")))))

    def hides(self, xid: int) -> bool:
        """Whether the transaction with that 32-bit id had begun and not ended: its changes are not visible.

        A commit reaches the log, and with it us, before it becomes visible.
        """
        return self._widened(xid) in self.running

    def may_hide(self, xid: int) -> bool:
        """The same of an id that may be a subtransaction's: `running` names only their parents."""
        return self.xmin <= self._widened(xid) < self.xmax

    def precedes(self, xid: int) -> bool:
        """Whether that 32-bit id had not been given to any transaction yet."""
        return self._widened(xid) >= self.xmax

    def _widened(self, xid: int) -> int:
        """Of the 64-bit ids that end in these 32 bits, the one nearest to now."""
        near = self.xmax - self.xmax % XID_LIMIT + xid % XID_LIMIT
        candidates = (near - XID_LIMIT, near, near + XID_LIMIT)
        return min(candidates, key=lambda candidate: abs(candidate - self.xmax))
