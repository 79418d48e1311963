"""Replays letters: a refresh command for each row, never the old bytes, which would bring back an old state.

Commands are acknowledged before the position moves. So whatever happens in between, a letter is replayed
twice at worst, and twice is harmless: the row is read again twice. For the same reason two replays may run
at once:

1. A and B both read from position 0. Both send commands for letters 0 to 99.
2. A goes on and commits 200; B commits 100: the position went back.
3. A later replay sends commands for 100 to 199 again. None was left out: nobody commits a position before
   it has itself sent commands for all that lies between its own start and there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from ops.dlq.plan import Plan, Row, make_plan
from ops.dlq.selection import Selection
from processor.dead_letters import DeadLetter
from processor.delivery import Delivery
from processor.letter_topics import LetterTopics, Span
from processor.letters import letter_topic
from processor.refresh import request

CHUNK: Final = 100
"""Commands between two commits of the position, at most."""
STEP_SECONDS: Final = 0.1
Advance = Callable[[int], None]
"""Called with the number of letters looked after."""


@dataclass(frozen=True)
class Options:
    """How to replay.

    Attributes:
        limit: rows at most, or None.
        rate: commands a second, or None.
        max_replays: a row that was replayed more often is given up.
        dry_run: send nothing, move nothing.
    """

    selection: Selection = field(default_factory=Selection)
    limit: int | None = None
    rate: float | None = None
    max_replays: int = 3
    dry_run: bool = False

    @property
    def chunk(self) -> int:
        """Commands at a time: what a second allows."""
        return CHUNK if self.rate is None else max(1, min(CHUNK, int(self.rate)))


@dataclass
class Report:
    """What a replay did.

    Attributes:
        sent: commands, one a row.
        letters: those that these rows had.
        left: letters that were not replayed, of those that were there at the start.
        rows: what a dry run would replay.
    """

    run_id: str = field(default_factory=lambda: uuid4().hex)
    sent: int = 0
    letters: int = 0
    left: int = 0
    given_up: list[Row] = field(default_factory=list)
    nameless: list[DeadLetter] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def as_json(self, dry_run: bool) -> dict[str, Any]:
        """As scripts see it."""
        shown = {
            "run_id": self.run_id,
            "sent": self.sent,
            "letters": self.letters,
            "left": self.left,
            "given_up": [_row_json(row) for row in self.given_up],
            "passed_over": [
                {"place": letter.place, "table": letter.table, "reason": letter.nameless}
                for letter in self.nameless
            ],
        }
        return shown | ({"dry_run": True, "rows": [_row_json(row) for row in self.rows]} if dry_run else {})


def _row_json(row: Row) -> dict[str, Any]:
    shown = {"table": row.table, "key": row.key, "place": row.place}
    return shown | {"letters": row.letters, "tries": row.tries}


class Replay:
    """One run over the letters that are there when it begins; `stopped()` ends it after a chunk."""

    def __init__(
        self,
        topics: LetterTopics,
        delivery: Delivery,
        options: Options,
        stopped: Callable[[], bool] = lambda: False,
        advance: Advance = lambda _: None,
    ) -> None:
        self._topics = topics
        self._delivery = delivery
        self._options = options
        self._stopped = stopped
        self._advance = advance
        self._report = Report()
        self._due = 0.0

    def run(self, spans: Sequence[Span]) -> Report:
        """Replay what `spans` hold; letters that arrive meanwhile wait for the next run.

        Raises:
            SourceError: the broker does not answer; what was sent and not committed is sent again next time.
        """
        for span in filter(lambda span: span.open, spans):
            limit = self._rows_left()
            if self._stopped() or limit == 0:
                self._report.left += span.open
            else:
                self._span(span, limit)
        return self._report

    def _rows_left(self) -> int | None:
        limit = self._options.limit
        return None if limit is None else limit - self._report.sent - len(self._report.rows)

    def _span(self, span: Span, limit: int | None) -> None:
        options, report = self._options, self._report
        letters = self._topics.open_letters(span)
        plan = make_plan(letters, span.end, options.selection, options.max_replays, limit)
        report.given_up += plan.given_up
        report.nameless += plan.nameless
        if options.dry_run:
            report.rows += plan.replayed
            report.letters += sum(row.letters for row in plan.replayed)
            done = len(plan.replayed)
        else:
            done = self._replay(span, plan)
        report.left += plan.letters_left(done)
        self._advance(span.open - sum(row.letters for row in plan.replayed[:done]))

    def _replay(self, span: Span, plan: Plan) -> int:
        """How many of the rows were replayed: all, unless it was stopped."""
        done = 0
        if not plan.replayed:
            self._move(span, plan.position(0))
        while done < len(plan.replayed) and self._may_send():
            chunk = plan.replayed[done : done + self._options.chunk]
            self._send(span, chunk)
            done += len(chunk)
            self._move(span, plan.position(done))
        return done

    def _may_send(self) -> bool:
        """Once the rate allows it; False when stopped before. Not an Event: a signal's handler may set none
        while its own thread waits for it."""
        while not self._stopped():
            left = self._due - time.monotonic()
            if left <= 0:
                return True
            time.sleep(min(left, STEP_SECONDS))
        return False

    def _send(self, span: Span, rows: Sequence[Row]) -> None:
        projection = self._topics.projections[span.topic]
        topic = span.topic.removeprefix(letter_topic(""))
        run_id, report = self._report.run_id, self._report
        self._delivery.send([request(topic, projection, row.values, row.command(run_id)) for row in rows])
        if self._options.rate is not None:
            self._due = time.monotonic() + len(rows) / self._options.rate
        letters = sum(row.letters for row in rows)
        report.sent += len(rows)
        report.letters += letters
        self._advance(letters)

    def _move(self, span: Span, position: int) -> None:
        if position > span.start:
            self._topics.commit(span, position)
