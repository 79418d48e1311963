"""A mask shows two characters at each end at the most; logs and errors hold no personal value."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import log, output
from processor.errors import AegisError
from processor.mask import mask, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("김", "*"),
        ("김서연", "***"),
        ("1234", "****"),
        ("12345", "12*45"),
        ("kim@example.org", "ki***********rg"),
        ("서울특별시 중구 세종대로 110", "서울*************10"),
    ],
)
def test_the_first_and_last_two_characters_stay_of_a_text_of_more_than_four(text: str, shown: str) -> None:
    assert mask(text) == shown


@given(st.text())
def test_a_mask_keeps_the_length_and_reveals_no_more_than_four_characters(text: str) -> None:
    masked = mask(text)
    assert len(masked) == len(text)
    same = [n for n in range(len(text)) if masked[n] != "*"]
    assert set(same) <= ({0, 1, len(text) - 2, len(text) - 1} if len(text) > 4 else set())
    assert all(masked[n] == text[n] for n in same)


@given(st.text(st.characters(exclude_characters="*"), min_size=5, max_size=9), st.text("x", max_size=3))
def test_texts_with_the_same_ends_look_the_same(middle: str, more: str) -> None:
    assert mask(f"ab{middle}cd") == mask(f"ab{middle[::-1]}cd")


VALUE = "kim.seoyeon@example.org"
HIDDEN = "ki*******************rg"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f'{{"email": "{VALUE}", "id": 7}}', f'{{"email": "{HIDDEN}", "id": 7}}'),
        (f"row {{'email': '{VALUE}'}}", f"row {{'email': '{HIDDEN}'}}"),
        (f"User(email='{VALUE}', id=7)", f"User(email='{HIDDEN}', id=7)"),
        (f"email={VALUE} id=7", f"email={HIDDEN} id=7"),
        (f"Key (email)=({VALUE}) already exists.", f"Key (email)=({HIDDEN}) already exists."),
        (f"Key (id, email)=({VALUE}) already exists.", f"Key (id, email)=({HIDDEN}) already exists."),
        (
            f"new row violates it\nDETAIL:  Failing row contains (1, {VALUE}, a)\nb, null).",
            "new row violates it\nDETAIL:  Failing row contains (***).",
        ),
        ('"personal_info": {"born": {"a": "1979"}}, "id"', '"personal_info": ***, "id"'),
        ('"personal_info": {"born": "1979', '"personal_info": ***'),
        ('{"contact_info": ["010-2345-6789"]}', '{"contact_info": ***}'),
        ("{'contact_info': b'\\x01abc\\x02'}", "{'contact_info': b'\\x*******02'}"),
        (f"email: {VALUE}, refused", f"email: {HIDDEN}, refused"),
        (f"users.email : {VALUE}", f"users.email : {HIDDEN}"),
        (f"if email == '{VALUE}'", f"if email == '{HIDDEN}'"),
        ('{"phone": 1023456789}', '{"phone": 10******89}'),
        (f"[('email', '{VALUE}'), ('id', 7)]", f"[('email', '{HIDDEN}'), ('id', 7)]"),
        (f'[["users.email", "{VALUE}"]]', f'[["users.email", "{HIDDEN}"]]'),
        ("{'name': '김서연아리'}", "{'name': '김서*아리'}"),
        ("User(phone=None, name='김서연아리')", "User(phone=None, name='김서*아리')"),
        (
            "the email of name: 김서연아리, address=세종대로10",
            "the email of name: 김서*아리, address=세종**10",
        ),
    ],
)
def test_values_of_private_columns_are_masked_wherever_they_are_named(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Key (policy_id)=(POL-2025-001) already exists.",
        "kafka at 127.0.0.1:9092 does not answer: Name or service not known",
        "constraint idx_users_email, hostname=broker, filename: 'x'",
        "the name of the address is the phone",
        "consumer name='aegis-sync', address=127.0.0.1:9092, name: aegis-sync",
        "{'email': None, 'id': 7}",
        "columns ('email', 'phone') are private",
        "User\nemail:\n  Field required",
    ],
)
def test_everything_else_stays(text: str) -> None:
    assert redact(text) == text


@given(st.text(min_size=5))
def test_hostile_values_do_not_get_out_of_a_detail(value: str) -> None:
    hidden = f"geheim{value}geheim"
    for text in (
        f"Key (email)=({hidden}) already exists.",
        f"Failing row contains (1, {hidden}).",
        json.dumps({"email": hidden}),
        f"{ {'email': hidden}!r}",
        f"{[('email', hidden)]!r}",
        f"{ {'contact_info': hidden.encode(errors='replace')}!r}",
        json.dumps({"personal_info": {"born": hidden}}),
    ):
        assert "geheim" not in redact(text)


@pytest.mark.parametrize("terminal", [True, False])
def test_logs_mask_messages_and_traces(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    error = RuntimeError(f"Key (email)=({VALUE}) already exists.")
    try:
        log.configure("test", "INFO")
        logging.getLogger("processor").error("row %s", {"phone": "010-2345-6789"}, exc_info=error)
    finally:
        root.handlers[:], root.level = before, level
    text = capsys.readouterr().err
    assert "row {'phone': '01*********89'}" in text
    assert f"RuntimeError: Key (email)=({HIDDEN}) already exists." in text


def test_an_error_is_told_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    output.report(AegisError(f"Failing row contains ({VALUE}).", hint=f"look for email={VALUE}"))
    assert capsys.readouterr().err == f"error: Failing row contains (***).\nnext: look for email={HIDDEN}\n"
