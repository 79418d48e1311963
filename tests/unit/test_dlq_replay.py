"""How far a replay's position may move, whatever it is asked for and wherever it dies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from ops.dlq.plan import Plan, make_plan
from ops.dlq.replay import CHUNK, Options, Replay, Report
from ops.dlq.selection import Selection
from processor.dead_letters import DeadLetter
from processor.letter_topics import Span
from processor.refresh import Request
from processor.tables import projection_of

TOPIC = "dlq.aegis.public.policies"
POLICIES = projection_of("policies")


def letter(offset: int, key: str | None = "a", tries: int = 1, stage: str = "project") -> DeadLetter:
    return DeadLetter(
        table="policies",
        place=f"{TOPIC}/0/{offset}",
        offset=offset,
        failed=f"aegis.public.policies/0/{offset}",
        key=key or "",
        values=None if key is None else {"policy_id": key},
        nameless="it has no key" if key is None else "",
        timestamp=offset,
        tries=tries,
        first_failed_at=1_000 + offset,
        stage=stage,
        code="DP_2001",
        exception="RowRejected",
        store="",
        reason="",
        group="",
        outcomes={},
        chain=None if tries == 1 else f"{TOPIC}/0/first-{key}",
    )


@st.composite
def some_letters(draw: st.DrawFn) -> list[DeadLetter]:
    """Of a few rows, some of none, with gaps between their offsets."""
    what = st.tuples(
        st.integers(1, 3),
        st.sampled_from(["a", "b", "c", "d", None]),
        st.integers(1, 5),
        st.sampled_from(["decode", "project"]),
    )
    found, offset = [], draw(st.integers(0, 5))
    for gap, key, tries, stage in draw(st.lists(what, max_size=15)):
        found.append(letter(offset, key, tries, stage))
        offset += gap
    return found


options = st.builds(
    Options,
    st.sampled_from([Selection(), Selection(stage="decode")]),
    st.none() | st.integers(1, 4),
    st.none(),
    st.integers(1, 4),
)


def end_of(letters: Sequence[DeadLetter]) -> int:
    return letters[-1].offset + 1 if letters else 0


def test_one_refresh_serves_all_letters_of_a_row_and_is_counted_by_the_newest() -> None:
    plan = make_plan([letter(1), letter(2, "b"), letter(5, "a", tries=3)], 9, Selection(), 3, None)
    (first, second) = plan.replayed
    assert (first.key, first.letters, first.first, first.place) == ("a", 2, 1, f"{TOPIC}/0/5")
    command = first.command("run")
    assert (command.reason, command.run_id, command.stores) == ("replay", "run", None)
    assert (command.letter, command.replays, command.first_failed_at) == (f"{TOPIC}/0/first-a", 3, 1_005)
    command = second.command("run")
    assert (command.letter, command.replays, command.first_failed_at) == (f"{TOPIC}/0/2", 1, 1_002)
    assert [plan.position(done) for done in range(3)] == [1, 2, 9]


def test_a_row_replayed_too_often_is_given_up_and_holds_the_position() -> None:
    plan = make_plan([letter(1), letter(2, "b", tries=4), letter(3, "c")], 4, Selection(), 3, None)
    assert [row.key for row in plan.replayed] == ["a", "c"]
    assert [row.key for row in plan.given_up] == ["b"]
    assert (plan.position(2), plan.letters_left(2)) == (2, 1)
    assert make_plan([letter(2, "b", tries=4)], 4, Selection(), 4, None).position(1) == 4


def test_a_filter_takes_a_row_by_any_of_its_letters() -> None:
    letters = [letter(1, stage="decode"), letter(2), letter(3, "b")]
    plan = make_plan(letters, 4, Selection(stage="decode"), 3, None)
    assert [(row.key, row.letters) for row in plan.replayed] == [("a", 2)]
    assert (plan.position(1), plan.letters_left(1)) == (3, 1)


def test_what_names_no_row_is_passed_over_and_holds_nothing() -> None:
    plan = make_plan([letter(1, None), letter(2), letter(3, None)], 4, Selection(stage="apply"), 3, None)
    assert [found.offset for found in plan.nameless] == [1, 3]
    assert plan.position(0) == 2
    assert make_plan([letter(1, None)], 2, Selection(), 3, None).position(0) == 2


@given(some_letters(), options)
def test_the_position_never_passes_a_letter_that_was_not_replayed(
    letters: list[DeadLetter], asked: Options
) -> None:
    plan = make_plan(letters, end_of(letters), asked.selection, asked.max_replays, asked.limit)
    for done in range(len(plan.replayed) + 1):
        replayed = {row.key for row in plan.replayed[:done]}
        left = [found.offset for found in letters if found.values and found.key not in replayed]
        assert plan.position(done) == min(left, default=plan.end)
        assert plan.letters_left(done) == len(left)


@given(some_letters(), options)
def test_every_letter_is_replayed_given_up_left_or_passed_over(
    letters: list[DeadLetter], asked: Options
) -> None:
    plan: Plan = make_plan(letters, end_of(letters), asked.selection, asked.max_replays, asked.limit)
    rows = [*plan.replayed, *plan.given_up, *plan.left]
    assert len({row.key for row in rows}) == len(rows)
    assert sum(row.letters for row in rows) + len(plan.nameless) == len(letters)
    assert len(plan.replayed) <= (asked.limit or len(rows))
    assert all(row.tries > asked.max_replays for row in plan.given_up)


Step = tuple[str, object]
"""("sent", the keys) or ("committed", the position)."""


@dataclass
class Recorder:
    """Stands for Kafka: a partition of letters, and what was done in which order."""

    letters: Sequence[DeadLetter]
    steps: list[Step] = field(default_factory=list)
    projections = {TOPIC: POLICIES}  # noqa: RUF012

    def open_letters(self, span: Span) -> Iterator[DeadLetter]:
        return (found for found in self.letters if found.offset >= span.start)

    def commit(self, span: Span, offset: int) -> None:
        self.steps.append(("committed", offset))

    def send(self, requests: Sequence[Request]) -> None:
        assert {request.topic for request in requests} == {"refresh.aegis.public.policies"}
        self.steps.append(("sent", [request.key for request in requests]))


def replay(
    letters: Sequence[DeadLetter], start: int, asked: Options, chunk: int = CHUNK
) -> tuple[list[Step], Report]:
    """What one run does, begun at a position."""
    kafka = Recorder(letters)
    run = Replay(kafka, kafka, asked)  # type: ignore[arg-type]
    with patch("ops.dlq.replay.CHUNK", chunk):
        report = run.run([Span(TOPIC, 0, 0, start, end_of(letters))])
    return kafka.steps, report


class Log:
    """What is true after some steps of some runs."""

    def __init__(self, letters: Sequence[DeadLetter]) -> None:
        self.position = 0
        self._sent: set[str] = set()
        self._letters = letters

    def do(self, step: Step) -> None:
        what, value = step
        if what == "sent":
            self._sent |= {key.decode() for key in value}  # type: ignore[attr-defined]
        else:
            assert isinstance(value, int)
            self.position = value
        lost = [
            found.place
            for found in self._letters
            if found.values and found.offset < self.position
            if f'{{"policy_id":"{found.key}"}}' not in self._sent
        ]
        assert lost == []


@given(some_letters(), options, st.data())
def test_wherever_two_replays_at_once_die_no_letter_before_the_position_is_without_a_command(
    letters: list[DeadLetter], asked: Options, data: st.DataObject
) -> None:
    log = Log(letters)
    one, _ = replay(letters, 0, asked, chunk=1)
    begin = data.draw(st.integers(0, len(one)))
    for step in one[:begin]:
        log.do(step)
    two, _ = replay(letters, log.position, Options(), chunk=2)
    queues = [one[begin:], two[: data.draw(st.integers(0, len(two)))]]
    while any(queues):
        queue = data.draw(st.sampled_from([queue for queue in queues if queue]))
        log.do(queue.pop(0))
    for step in replay(letters, log.position, Options(max_replays=5))[0]:
        log.do(step)
    assert log.position == end_of(letters)


def test_a_chunk_is_acknowledged_before_the_position_moves_behind_it() -> None:
    letters = [letter(n, f"k{n}") for n in range(250)]
    steps, report = replay(letters, 0, Options())
    assert [what for what, _ in steps] == ["sent", "committed"] * 3
    assert [value for what, value in steps if what == "committed"] == [100, 200, 250]
    assert (report.sent, report.letters, report.left) == (250, 250, 0)


def test_a_dry_run_sends_and_moves_nothing() -> None:
    steps, report = replay([letter(0), letter(1, "b", tries=4)], 0, Options(dry_run=True))
    assert steps == []
    assert ([row.key for row in report.rows], report.left) == (["a"], 1)
    assert report.as_json(dry_run=True)["rows"][0]["place"] == f"{TOPIC}/0/0"


def test_beyond_the_limit_the_rest_counts_as_left() -> None:
    kafka = Recorder([letter(0), letter(1, "b"), letter(2, "c")])
    spans = [Span(TOPIC, 0, 0, 0, 3), Span(TOPIC, 1, 0, 10, 17)]
    report = Replay(kafka, kafka, Options(limit=2)).run(spans)  # type: ignore[arg-type]
    assert (report.sent, report.left) == (2, 1 + 7)
    assert kafka.steps[-1] == ("committed", 2)


def test_stopped_it_ends_after_the_chunk_at_hand_and_says_how_much_is_left() -> None:
    kafka = Recorder([letter(n, f"k{n}") for n in range(250)])
    report = Replay(kafka, kafka, Options(), stopped=lambda: len(kafka.steps) >= 4).run(  # type: ignore[arg-type]
        [Span(TOPIC, 0, 0, 0, 250), Span(TOPIC, 1, 0, 0, 9)]
    )
    assert kafka.steps[-1] == ("committed", 200)
    assert (report.sent, report.left) == (200, 50 + 9)
