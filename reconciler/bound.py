"""Whether a stamp lies beyond what has happened: PostgreSQL is asked in doubt only."""

from __future__ import annotations

from processor.stamp import Stamp, make_version
from reconciler.source import SourceReader


class Bound:
    """The end of the log and the next transaction, as of the last time that somebody asked.

    Traffic moves both on: a stamp beyond the remembered ones is compared with those of now.
    """

    def __init__(self, reader: SourceReader, epoch: int) -> None:
        self._reader = reader
        self._epoch = epoch
        self._ask()

    def is_beyond(self, stamp: Stamp) -> bool:
        """Whether no change can have left that stamp, that of a record which else is right."""
        began = stamp.xid is None or stamp.xid < self._now.snapshot.following
        if began and stamp.seen <= self._now.end and stamp.version <= self._version:
            return False
        self._ask()
        return self._now.is_unheard_of(stamp)

    def _ask(self) -> None:
        self._now = self._reader.now(self._epoch)
        self._version = make_version(self._epoch, self._now.end)
