"""The temporary file that sorts what does not fit into memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import ConfigurationError
from processor.stores.spill import Spill


def open_files() -> dict[str, int]:
    """Size in bytes of each file that this process has open and that no folder names any more."""
    sizes = {}
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink() and (target := str(entry.readlink())).endswith(" (deleted)"):
            sizes[target] = entry.stat().st_size
    return sizes


@given(st.dictionaries(st.text(), st.binary()))
def test_rows_come_back_in_byte_order_of_their_keys(rows: dict[str, bytes]) -> None:
    with Spill() as spill:
        spill.put((key.encode(), value) for key, value in rows.items())
        assert list(spill) == sorted((key.encode(), value) for key, value in rows.items())
        assert len(spill) == len(rows)


def test_a_key_that_comes_again_is_kept_once_with_its_latest_value() -> None:
    with Spill() as spill:
        spill.put([(b"b", b"1"), (b"a", b"2"), (b"b", b"3")])
        spill.put([(b"a", b"4")])
        assert list(spill) == [(b"a", b"4"), (b"b", b"3")]
        assert len(spill) == 2


def test_rows_beyond_the_page_cache_lie_in_a_file_that_vanishes_with_the_spill() -> None:
    before = open_files()
    with Spill() as spill:
        spill.put((os.urandom(32), bytes(100)) for _ in range(60_000))
        # 8 MB of rows, of which the cache may hold 2 MB
        assert (
            max((open_files()[name] for name in open_files().keys() - before.keys()), default=0) > 5_000_000
        )
    assert open_files() == before


def test_a_reader_that_stops_early_leaves_no_file() -> None:
    before = open_files()
    with Spill() as spill:
        spill.put((os.urandom(32), bytes(100)) for _ in range(60_000))
        next(iter(spill))
    assert open_files() == before


def test_a_file_that_cannot_grow_is_told_with_what_to_do() -> None:
    with Spill() as spill:
        spill._db.execute("PRAGMA max_page_count = 4")
        with pytest.raises(ConfigurationError, match="database or disk is full") as caught:
            spill.put((bytes([n]) * 32, bytes(1_000)) for n in range(100))
    assert "SQLITE_TMPDIR" in str(caught.value.hint)
