"""The last runs as bars: pure geometry, drawn by the page's template.

Lengths along the time are percentages and heights are pixels, so the plot fits any width and its letters keep
their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.history import Past

RUNS: Final = 30
HEIGHT: Final = 120
"""Pixels from the axis to the highest tick."""
HAIRLINE: Final = 1.0
"""Pixels of the smallest number above 0: one record beside 100,000 would not show."""
SLOTS: Final = 6
"""At least so many places, so that one run is no wall of colour."""
LABELS: Final = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """A number of one run; `top` and `height` in pixels from the plot's upper edge."""

    number: str
    value: int
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Column:
    """A run: where it stands (`left`, `middle` in percent), its bars from the axis upwards.

    `dated`: whether its day is written below.
    """

    run: Past
    left: float
    middle: float
    bars: Sequence[Bar]
    dated: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across, at `top` pixels."""

    value: int
    label: str
    top: float


@dataclass(frozen=True, slots=True)
class Plot:
    """Columns of `slot` percent of the width each, and lines across; `slots`: how many places there are."""

    columns: Sequence[Column]
    ticks: Sequence[Tick]
    slot: float
    slots: int


def draw(past: Sequence[Past]) -> Plot:
    """Of the newest runs, oldest first."""
    runs = past[-RUNS:]
    slots = max(len(runs), SLOTS)
    slot = round(100 / slots, 3)
    top = _ceiling(max((sum(numbers(run).values()) for run in runs), default=0))
    every = -(-len(runs) // LABELS)
    columns = [
        Column(
            run,
            round(n * slot, 3),
            round((n + 0.5) * slot, 3),
            _bars(run, top),
            (len(runs) - 1 - n) % every == 0,
        )
        for n, run in enumerate(runs)
    ]
    values = (0, top // 2, top) if top % 2 == 0 else (0, top)
    ticks = [Tick(value, _short(value), HEIGHT - HEIGHT * value / top) for value in values]
    return Plot(columns, ticks, slot, slots)


def numbers(run: Past) -> dict[str, int]:
    """What is stacked, from the axis upwards: what is still wrong, what was healed, what is not known."""
    return {
        "left": max(run.drift - run.repaired, 0),
        "repaired": run.repaired,
        "unverified": run.unverified,
    }


def _bars(run: Past, top: int) -> list[Bar]:
    bars: list[Bar] = []
    floor = float(HEIGHT)
    for number, value in numbers(run).items():
        if value:
            height = max(HEIGHT * value / top, HAIRLINE)
            floor -= height
            bars.append(Bar(number, value, floor, height))
    return bars


def _ceiling(highest: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50 ..., at least 1."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if step * size >= highest:
                return step * size
        size *= 10


def _short(value: int) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return str(value)
