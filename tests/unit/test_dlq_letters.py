"""Dead letters as they are read, selected, counted and foreseen."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.dlq.selection import Selection, parse_place, parse_since, select
from ops.dlq.show import foresee
from ops.dlq.stats import NONE, OLDEST, Stats, age_of
from ops.dlq.views import age, plain
from processor.change import Message
from processor.dead_letters import DeadLetter, distinct, failed_record, read_letter
from processor.errors import ConfigurationError, DecodeError
from processor.letters import PREFIX, Letter, letter_headers
from processor.rows import DATE_INFINITY
from processor.tables import projection_of

POLICIES = projection_of("policies")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
KEY = '{"policy_id":"정책-1"}'.encode()
FAILED = Message("aegis.public.policies", 3, 99, KEY, b"\x00v", (("__debezium.x", b"\xff"),), NOW_MS - 5_000)
LETTER = Letter(
    message=FAILED,
    stage="apply",
    code="DP_3001",
    exception="Rejected",
    reason="policies 정책-1: milvus: too long",
    store="milvus",
    outcomes={"milvus": "rejected", "redis": "compensated"},
)


def message(letter: Letter = LETTER, **changes: object) -> Message:
    """The letter as it lies in its topic."""
    headers = tuple(letter_headers(letter, "group", NOW_MS))
    record = dataclasses.replace(letter.message, topic="dlq.aegis.public.policies", offset=7, headers=headers)
    return dataclasses.replace(record, **changes)  # type: ignore[arg-type]


def read(**changes: object) -> DeadLetter:
    return read_letter(POLICIES, message(**changes))  # type: ignore[arg-type]


def test_all_that_the_processor_writes_into_a_letter_is_read() -> None:
    letter = read()
    assert (letter.place, letter.failed) == ("dlq.aegis.public.policies/3/7", "aegis.public.policies/3/99")
    assert (letter.key, letter.values, letter.nameless) == ("정책-1", {"policy_id": "정책-1"}, "")
    assert (letter.stage, letter.code, letter.store) == ("apply", "DP_3001", "milvus")
    assert (letter.reason, letter.exception) == ("policies 정책-1: milvus: too long", "Rejected")
    assert (letter.tries, letter.first_failed_at, letter.group) == (1, NOW_MS, "group")
    assert letter.outcomes == {"milvus": "rejected", "redis": "compensated"}
    assert (letter.chain, letter.first_place) == (None, letter.place)


def test_the_failed_record_is_given_back_byte_for_byte() -> None:
    assert failed_record(message()) == FAILED


def test_a_letter_of_a_replay_names_the_first_one() -> None:
    headers = (*message().headers, (f"{PREFIX}letter", b"dlq.aegis.public.policies/3/2"))
    assert read(headers=headers).first_place == "dlq.aegis.public.policies/3/2"


@pytest.mark.parametrize(
    ("key", "shown", "reason"),
    [
        (None, "", "no key"),
        (b"\xff", "\\xff", "not a key of policies: key is not JSON"),
        (b'{"id":1}', '{"id":1}', "exactly policy_id"),
        (b'{"policy_id":7}', '{"policy_id":7}', "policy_id cannot be 7"),
        (b"[" * 100_000, "[" * 200, "not a key of policies"),
    ],
)
def test_a_key_that_names_no_row_is_shown_with_the_reason(key: bytes | None, shown: str, reason: str) -> None:
    letter = read(key=key)
    assert (letter.values, letter.key) == (None, shown)
    assert reason in letter.nameless
    assert len(letter.nameless) <= 200


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["topic", "partition", "offset", "delivery.count", "first.failed.at", "outcomes", "letter"]
            ),
            st.binary(max_size=20) | st.sampled_from([b"-1", b"1e9", b"[]", b'{"a":[]}', "٣".encode()]),
        )
    ),
    st.none() | st.binary(max_size=20),
    st.integers(-1, 2**62),
)
def test_whatever_somebody_wrote_into_the_topic_can_be_read(
    headers: list[tuple[str, bytes]], key: bytes | None, timestamp: int
) -> None:
    found = tuple((PREFIX + name, value) for name, value in headers)
    letter = read(headers=found, key=key, timestamp=timestamp)
    assert letter.tries >= 1
    assert letter.first_failed_at >= 0
    with contextlib.suppress(DecodeError):
        assert failed_record(message(headers=found, key=key)).key == key


def test_a_letter_written_twice_is_one_letter() -> None:
    again = dataclasses.replace(read(), place="later", reason="another store was first to refuse it")
    assert list(distinct([read(), again])) == [read()]


def test_records_of_a_topic_made_anew_are_others_though_their_places_are_the_same() -> None:
    key = dataclasses.replace(read(), key="정책-2")
    time = dataclasses.replace(read(), timestamp=NOW_MS)
    place = dataclasses.replace(read(), failed="aegis.public.policies/3/100")
    assert list(distinct([read(), key, time, place])) == [read(), key, time, place]


def test_letters_that_do_not_name_their_record_are_all_different() -> None:
    letters = [read(headers=()), read(headers=())]
    assert list(distinct(letters)) == letters


def test_a_selection_takes_what_holds_all_that_is_asked_for() -> None:
    letter = read()
    assert Selection().takes(letter)
    assert Selection("apply", "DP_3001", "milvus", NOW_MS).takes(letter)
    for wrong in (
        Selection(stage="decode"),
        Selection(code="DP_1004"),
        Selection(store="redis"),
        Selection(since=NOW_MS + 1),
    ):
        assert not wrong.takes(letter)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30m", NOW_MS - 1_800_000),
        ("2h", NOW_MS - 7_200_000),
        ("3d", NOW_MS - 259_200_000),
        ("2026-11-21T11:00", NOW_MS - 3_600_000),
        ("2026-11-21T20:00+09:00", NOW_MS - 3_600_000),
    ],
)
def test_a_time_is_given_as_iso_or_as_so_long_ago(text: str, ms: int) -> None:
    assert parse_since(text, NOW) == ms


def test_what_is_asked_wrongly_is_refused_with_what_there_is() -> None:
    for wrong in ("yesterday", "2w", "999999d", ""):
        with pytest.raises(ConfigurationError, match="--since"):
            parse_since(wrong, NOW)
    with pytest.raises(ConfigurationError) as caught:
        select("late", None, None, None, NOW)
    assert caught.value.hint == "one of: decode, project, apply"
    with pytest.raises(ConfigurationError, match="no store 'mongo'"):
        select(None, None, "mongo", None, NOW)
    for place in ("dlq.x", "dlq.x/1", "dlq.x/a/1", "dlq.x/1/-1", "a/b/1/2"):
        with pytest.raises(ConfigurationError, match="not a letter's place"):
            parse_place(place)
    assert parse_place("dlq.x/1/2") == ("dlq.x", 1, 2)


def test_letters_are_counted_by_every_dimension() -> None:
    stats = Stats()
    young = dataclasses.replace(read(), first_failed_at=NOW_MS - 1)
    old = dataclasses.replace(read(), first_failed_at=0, stage="decode", store="")
    stats.add([young, old], True, NOW_MS)
    stats.add([old], False, NOW_MS)
    shown = stats.as_json()
    assert (shown["open"], shown["replayed"]) == (2, 1)
    assert shown["by"]["table"] == {"policies": {"open": 2, "replayed": 1}}
    assert shown["by"]["stage"] == {"decode": {"open": 1, "replayed": 1}, "apply": {"open": 1, "replayed": 0}}
    assert shown["by"]["store"] == {NONE: {"open": 1, "replayed": 1}, "milvus": {"open": 1, "replayed": 0}}
    assert list(shown["by"]["age"]) == ["under 1 hour", OLDEST]


@pytest.mark.parametrize(
    ("ms", "bucket"),
    [
        (-5, "under 1 hour"),
        (3_599_999, "under 1 hour"),
        (3_600_000, "under 1 day"),
        (86_400_000, "under 7 days"),
        (7 * 86_400_000, OLDEST),
    ],
)
def test_ages_fall_into_their_class(ms: int, bucket: str) -> None:
    assert age_of(dataclasses.replace(read(), first_failed_at=NOW_MS - ms), NOW_MS) == bucket


def test_what_a_replay_would_do_follows_from_the_row_as_it_is_now() -> None:
    row = {
        "policy_id": "정책-1",
        "status": "active",
        "is_active": True,
        **dict.fromkeys(("title", "content", "issuing_organization"), "글"),
    }
    letter = read()
    assert foresee(POLICIES, letter, row, 3).would == "write"
    assert foresee(POLICIES, letter, None, 3).would == "remove"
    assert foresee(POLICIES, letter, row | {"is_active": False}, 3).would == "remove"
    refused = foresee(POLICIES, letter, row | {"application_end_date": DATE_INFINITY}, 3)
    assert (refused.would, "application_end_date" in refused.why) == ("fail", True)
    assert foresee(POLICIES, read(key=None), None, 3).would == "nothing"


@pytest.mark.parametrize(("tries", "left"), [(1, 3), (3, 1), (4, 0), (9, 0)])
def test_a_row_may_be_replayed_three_times(tries: int, left: int) -> None:
    letter = dataclasses.replace(read(), tries=tries)
    assert foresee(POLICIES, letter, None, 3).times_left == left


def test_nothing_that_a_terminal_would_obey_is_printed() -> None:
    assert plain("정책 \x1b[31m\n\u202e") == "정책 \\x1b[31m\\n\\u202e"


@pytest.mark.parametrize(
    ("ms", "words"), [(-1, "0 s"), (59_000, "59 s"), (7_200_000, "2 h"), (172_800_000, "2 d")]
)
def test_an_age_is_told_in_its_largest_unit(ms: int, words: str) -> None:
    assert age(NOW_MS - ms, NOW_MS) == words


def test_outcomes_that_are_no_object_are_none() -> None:
    for text in (b"", b"[1]", b"{", b"[" * 100_000):
        assert read(headers=((f"{PREFIX}outcomes", text),)).outcomes == {}
    found = read(headers=((f"{PREFIX}outcomes", json.dumps({"redis": "new word"}).encode()),))
    assert found.outcomes == {"redis": "new word"}
