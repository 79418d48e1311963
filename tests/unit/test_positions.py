"""Where partitions go on."""

from __future__ import annotations

from processor.change import Message
from processor.positions import Positions

ONE, OTHER = ("t", 0), ("t", 1)


def message(place: tuple[str, int], offset: int) -> Message:
    return Message(*place, offset, None, None, (), 0)


def accepted(positions: Positions, *messages: Message) -> list[tuple[int, int]]:
    return [(found.partition, found.offset) for found in positions.accept(messages)]


def test_what_comes_before_the_client_was_told_where_to_go_on_does_not_count() -> None:
    positions = Positions({ONE: 5, OTHER: 7})
    assert positions.doubted() == {ONE: 5, OTHER: 7}
    assert accepted(positions, message(ONE, 9), message(OTHER, 7)) == []
    positions.told(ONE)
    assert accepted(positions, message(ONE, 5), message(OTHER, 8), message(ONE, 6)) == [(0, 5), (0, 6)]
    assert positions.doubted() == {OTHER: 7}


def test_after_a_pause_each_goes_on_behind_its_last_record() -> None:
    positions = Positions({ONE: 5, OTHER: 7})
    positions.told(ONE)
    positions.told(OTHER)
    accepted(positions, message(ONE, 5), message(ONE, 8))  # a transaction's own records are left out
    positions.doubt()
    assert positions.doubted() == {ONE: 9, OTHER: 7}


def test_of_what_was_taken_away_everything_counts_and_nothing_is_sought() -> None:
    """Nobody asks for it any more: what is done with it is not stored."""
    positions = Positions()
    assert accepted(positions, message(ONE, 3)) == [(0, 3)]
    assert positions.doubted() == {}
