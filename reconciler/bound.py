"""Whether a stamp lies beyond what has happened: PostgreSQL is asked in doubt only."""

from __future__ import annotations

from typing import Final

from processor.stamp import XID_LIMIT, Stamp, make_version
from reconciler.source import SourceReader

_HALF: Final = XID_LIMIT // 2


class Bound:
    """The end of the log and the next transaction, as of the last time that somebody asked.

    Traffic moves both on: a stamp beyond the remembered ones is compared with those of now.
    """

    def __init__(self, reader: SourceReader, epoch: int) -> None:
        self._reader = reader
        self._epoch = epoch
        self._ask()

    def is_beyond(self, stamp: Stamp) -> bool:
        """Whether no change can have left that stamp."""
        if stamp.seen <= self._now.end and stamp.version <= self._version and self._began(stamp.xid):
            return False
        self._ask()
        return self._now.is_impossible(stamp)

    def _began(self, xid: int | None) -> bool:
        """Of two 32-bit numbers, the older is the one from which the way up to the other is the shorter."""
        return xid is None or (xid - self._now.snapshot.following) % XID_LIMIT >= _HALF

    def _ask(self) -> None:
        self._now = self._reader.now(self._epoch)
        self._version = make_version(self._epoch, self._now.end)
