"""Puts more records than memory holds into byte order: a sorted temporary file.

SQLite unlinks the file as soon as it is open, so nothing stays behind however the process ends. Its own
memory is one page cache of 2 MB.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self

from processor.errors import ConfigurationError

_BEHIND: Final = "SELECT key, value FROM spill WHERE key > ? ORDER BY key"


class Spill:
    """A map on disk from key to value, both bytes; a later value of a key replaces an earlier one.

    Not for two threads at the same time.
    """

    def __init__(self) -> None:
        # the empty name is SQLite's for a file of its own in SQLITE_TMPDIR, TMPDIR, /var/tmp or /tmp
        self._db = sqlite3.connect("", check_same_thread=False)
        # nobody reads the file after a crash: no journal
        self._db.execute("PRAGMA journal_mode = OFF")
        # BLOBs are ordered by memcmp; without rowid, the table is itself the index
        self._db.execute("CREATE TABLE spill (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")

    def put(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Add rows of (key, value), in any order.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        try:
            self._db.executemany("INSERT OR REPLACE INTO spill VALUES (?, ?)", rows)
        except sqlite3.OperationalError as error:
            raise ConfigurationError(
                f"the temporary file that sorts keys cannot be written: {error}",
                hint="free space, or point SQLITE_TMPDIR to a folder with more",
            ) from error

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """All rows in byte order of the key; end it before the next `put`."""
        yield from self._db.execute("SELECT key, value FROM spill ORDER BY key")

    def behind(self, key: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """The rows behind `key` in the same order; all for None."""
        yield from self if key is None else self._db.execute(_BEHIND, [key])

    def __len__(self) -> int:
        """How many keys there are."""
        return int(self._db.execute("SELECT count(*) FROM spill").fetchone()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
