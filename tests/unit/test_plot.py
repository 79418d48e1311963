"""Past runs as bars: heights, places and the axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from reconciler.history import Past
from reconciler.plot import HEIGHT, draw
from tests.unit import report_samples as samples


def heights(runs: Sequence[Past]) -> list[dict[str, float]]:
    return [{bar.number: bar.height for bar in column.bars} for column in draw(runs).columns]


def run(drift: int = 0, repaired: int = 0, unverified: int = 0) -> Past:
    return Past("r", samples.BEGAN, samples.ENDED, 0, drift, repaired, unverified)


def test_bars_are_as_high_as_their_numbers_and_stand_on_each_other() -> None:
    assert heights([run(50, 20, 20), run(10), run()]) == [
        {"left": HEIGHT * 0.3, "repaired": HEIGHT * 0.2, "unverified": HEIGHT * 0.2},
        {"left": HEIGHT * 0.1},
        {},
    ]
    bars = draw([run(50, 20, 20)]).columns[0].bars
    assert bars[0].top + bars[0].height == HEIGHT
    for below, above in pairwise(bars):
        assert above.top + above.height == pytest.approx(below.top)


def test_a_single_record_beside_very_many_still_shows() -> None:
    assert heights([run(1_000_000), run(1)]) == [{"left": HEIGHT}, {"left": 1.0}]


def test_the_axis_ends_at_a_round_number_and_starts_at_zero() -> None:
    ends = {highest: draw([run(highest)]).ticks for highest in (0, 1, 3, 7, 11, 34, 900, 1_200_000)}
    assert {highest: ticks[-1].value for highest, ticks in ends.items()} == {
        0: 1, 1: 1, 3: 5, 7: 10, 11: 20, 34: 50, 900: 1_000, 1_200_000: 2_000_000,
    }  # fmt: skip
    assert all(ticks[0].value == 0 and ticks[0].top == HEIGHT for ticks in ends.values())
    assert [tick.label for tick in ends[1_200_000]] == ["0", "1M", "2M"]


def test_only_the_last_30_runs_are_drawn_and_none_is_a_wall() -> None:
    many = [replace(run(n), run_id=str(n)) for n in range(45)]
    assert [column.run.run_id for column in draw(many).columns] == [str(n) for n in range(15, 45)]
    assert draw([run(1)]).slot < 20
