"""What the verdict on versions sees; the scenarios beside this file apply it to the stream they made."""

from __future__ import annotations

from processor.change import Op
from tests.chaos.versions import judge
from tests.unit.samples import change


def test_a_rising_stream_has_no_inversion_whatever_its_log_positions_are() -> None:
    found = judge(
        [change("a", commit=10, lsn=25), change("b", commit=10, lsn=12), change("a", commit=30, lsn=22)]
    )
    assert (found.events, found.keys, found.inversions) == (3, {"a", "b"}, [])


def test_a_change_under_a_smaller_version_than_an_earlier_one_is_found() -> None:
    older, newer = change("a", commit=20, lsn=25), change("a", commit=10, lsn=26)
    assert judge([older, change("b", commit=5, lsn=6), newer]).inversions == [(newer, older)]


def test_what_is_emitted_again_may_go_back_and_what_follows_is_judged_by_the_highest() -> None:
    first, second, third = (change("a", commit=n, lsn=n + 1) for n in (10, 20, 15))
    found = judge([first, second, first, second, third])
    assert (found.events, found.duplicates, found.altered) == (5, 2, [])
    assert found.inversions == [(third, second)]


def test_a_change_emitted_again_under_another_version_is_told() -> None:
    again = change("a", commit=None, lsn=21)
    found = judge([change("a", commit=20, lsn=21), again])
    assert (found.duplicates, found.altered, found.inversions) == (1, [(again, 20)], [])


def test_rows_of_snapshots_move_no_version() -> None:
    found = judge([change("a", op=Op.READ, commit=90), change("a", commit=10)])
    assert (found.snapshot_rows, found.events, found.inversions) == (1, 1, [])
