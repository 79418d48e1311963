"""Stops the processor when so many records fail that the fault cannot be in the records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from processor.errors import TooManyDeadLetters

MIN_LETTERS: Final = 20
"""A ratio of fewer letters says nothing: one bad record alone in a batch is 100 %."""


@dataclass
class Breaker:
    """`ratio`: share of a batch; `run`: letters since the last record that was accepted.

    A batch's size is what was attempted: the changes that count, and the records that became letters.
    """

    ratio: float
    run: int
    _in_a_row: int = 0

    def check(self, records: int, letters: int) -> None:
        """Judge a batch before its letters are written; may be asked more than once about the same batch.

        Raises:
            TooManyDeadLetters: nothing was written, no offset was stored; a restart sees the batch again.
        """
        in_a_row = self._run_after(records, letters)
        too_many = letters >= MIN_LETTERS and letters > self.ratio * records
        if too_many or in_a_row >= self.run:
            raise TooManyDeadLetters(
                f"{letters} of {records} records in this batch cannot be applied ({in_a_row} in a row)",
                hint="read the reasons logged above, mend the cause, then start `aegis process` again; "
                "raise DEAD_LETTER_RATIO or DEAD_LETTER_RUN if the records really are bad",
            )

    def passed(self, records: int, letters: int) -> None:
        """A batch is over: its letters are written."""
        self._in_a_row = self._run_after(records, letters)

    def _run_after(self, records: int, letters: int) -> int:
        return self._in_a_row + letters if letters >= records else 0
