"""An entry's text, and what each of the server's errors means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis._parsers.base import BaseParser

from processor.errors import Misconfigured, Unavailable
from processor.settings import RedisSettings
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Held, Put, Refused, Restamp
from processor.stores.redis import RedisStore, _escape
from processor.stores.redis_entry import HEAD_BYTES, arguments, record_of, stamp_of, text_of

LARGEST = Stamp(version=(1 << 63) - 1, seen=(1 << 54) - 1, xid=(1 << 32) - 1, fp="f" * 16)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
    st.lists(TEXTS | st.none()),
)
STAMPS = st.builds(
    Stamp,
    version=st.integers(0, (1 << 63) - 1),
    seen=st.integers(0, (1 << 54) - 1),
    xid=st.none() | st.integers(0, (1 << 32) - 1),
    fp=st.text("0123456789abcdef", max_size=16),
)


def text(stamp: Stamp, body: dict[str, Any]) -> bytes:
    made = text_of(stamp, body)
    assert isinstance(made, bytes)
    return made


def classified(line: str) -> Unavailable | Misconfigured:
    """What the adapter makes of an error as the server sends it."""
    store = RedisStore(RedisSettings.model_validate({}))
    return store._classify(BaseParser.parse_error(line))  # type: ignore[no-untyped-call]


@given(STAMPS, st.dictionaries(TEXTS.filter(lambda name: name != "_stamp"), VALUES))
def test_stamp_and_fields_come_back_exactly(stamp: Stamp, body: dict[str, Any]) -> None:
    entry = text(stamp, body)
    assert stamp_of(b"=" + entry[:HEAD_BYTES]) == stamp
    record = record_of(entry)
    assert record.stamp == stamp
    assert repr(record.body) == repr(body)  # repr: 1 is not 1.0, 0.0 is not -0.0


def test_the_stamp_is_the_first_member_in_a_fixed_form() -> None:
    assert (
        text(Stamp(1, 2, None, "ab"), {"제목": "청년", "amount": 9_007_199_254_740_993})
        == (
            '{"_stamp":{"version":"1","seen":"2","xid":"","fp":"ab"},"제목":"청년","amount":9007199254740993}'
        ).encode()
    )


def test_the_largest_stamp_lies_within_a_head() -> None:
    entry = text(LARGEST, {"name": "x" * 1_000})
    assert stamp_of(b"=" + entry[:HEAD_BYTES]) == LARGEST
    assert len(text(LARGEST, {})) - 1 == 113


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"hash",
        b"=",
        b"={",
        b'={"name":"x"}',
        b'={"_stamp":{"version":"1"}}',
        b'={"_stamp":{"version":1,"seen":"1","xid":"","fp":""}}',
        b'={"_stamp":{"version":"1", "seen":"1","xid":"","fp":""}}',
        b'={"_stamp":{"version":"-1","seen":"1","xid":"","fp":""}}',
        b'={"a":1,"_stamp":{"version":"1","seen":"1","xid":"","fp":""}}',
        b"=\xff\xfe",
    ],
)
def test_what_we_did_not_write_has_no_stamp(head: bytes) -> None:
    assert stamp_of(head) is UNREADABLE


@pytest.mark.parametrize("value", [b"", b"[1]", b"text", b"\xff", b'"x"', b"12"])
def test_an_entry_that_is_no_object_reads_as_an_empty_record(value: bytes) -> None:
    record = record_of(value)
    assert (record.stamp, record.body) == (UNREADABLE, {})


def test_an_object_of_somebody_else_is_shown_as_it_is() -> None:
    record = record_of(b'{"name":"theirs"}')
    assert (record.stamp, record.body) == (UNREADABLE, {"name": "theirs"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", "\ud800"])
def test_a_value_that_json_cannot_hold_is_refused_with_its_field(value: object) -> None:
    outcome = arguments(Put("k", None, LARGEST, {"fine": 1, "amount": value}), 0)
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("amount: ")


def test_a_stamp_is_not_moved_on_a_record_without_one() -> None:
    assert isinstance(arguments(Restamp("k", Held(UNREADABLE, b"=theirs"), LARGEST), 0), Refused)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory"),
        ("READONLY You can't write against a read only replica.", "primary"),
        ("MISCONF Valkey is configured to save RDB snapshots", "log"),
        ("NOREPLICAS Not enough good replicas to write.", "replicas"),
        ("LOADING Redis is loading the dataset in memory", "aegis stack status"),
        ("BUSY Redis is busy running a script.", "aegis stack status"),
        ("MASTERDOWN Link with MASTER is down", "aegis stack status"),
        ("CLUSTERDOWN The cluster is down", "aegis stack status"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "aegis stack status"),
        ("NOSCRIPT No matching script. Please use EVAL.", "aegis stack status"),
        ("ERR max number of clients reached", "aegis stack up redis"),
    ],
)
def test_errors_that_pass_are_waited_for(line: str, hint: str) -> None:
    error = classified(line)
    assert isinstance(error, Unavailable)
    assert hint in str(error.hint)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("WRONGPASS invalid username-password pair or user is disabled.", "REDIS_PASSWORD"),
        ("NOAUTH Authentication required.", "REDIS_PASSWORD"),
        (
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?",
            "REDIS_PASSWORD",
        ),
        ("NOPERM User app has no permissions to run the 'evalsha' command", "REDIS_PASSWORD"),
        ("ERR unknown command 'EVALSHA'", "version"),
        ("ERR DB index is out of range", "REDIS_URL"),
        ("MOVED 3999 127.0.0.1:6381", "REDIS_URL"),
    ],
)
def test_errors_that_only_an_operator_ends_are_told_with_what_to_do(line: str, hint: str) -> None:
    error = classified(line)
    assert isinstance(error, Misconfigured)
    assert hint in str(error.hint)


@given(st.binary())
def test_an_escaped_name_has_no_wildcard_left(name: bytes) -> None:
    escaped = _escape(name)
    plain = bytearray()
    rest = iter(escaped)
    for byte in rest:
        assert byte not in b"*?[]"
        plain.append(next(rest) if byte == ord("\\") else byte)
    assert bytes(plain) == name
