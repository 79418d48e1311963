"""What an operator sees of dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from ops.dlq.stats import NONE
from processor.settings import Settings
from tests.integration.conftest import aegis
from tests.integration.letters import GOOD, INFINITE, Letters, letters

REASON = "begins: a date outside the years 1 to 9999"


@pytest.fixture(scope="module")
def dlq(pipeline: sa.Engine, settings: Settings) -> Iterator[Letters]:
    """Three open letters: of an update, of a replay that failed, and of junk; and one that was replayed."""
    with letters(settings, pipeline) as made:
        made.write(GOOD, "changed", "replayed")
        made.own.process()
        made.change(INFINITE, "replayed")
        made.own.process()
        made.run("replay")
        made.change(INFINITE, "changed")
        made.garbage(b"\x1b[31mjunk", 2)
        made.own.process()
        yield made


def by_key(dlq: Letters, *arguments: str) -> dict[str, Any]:
    return {letter["key"]: letter for letter in dlq.json("list", *arguments)["letters"]}


def test_open_letters_are_listed_and_all_on_demand(dlq: Letters) -> None:
    found = dlq.json("list")
    assert found["total"] == 3
    listed = {letter["key"]: letter for letter in found["letters"]}
    assert listed.keys() == {"changed", "replayed", "\x1b[31mjunk"}
    assert listed["changed"]["stage"] == "project"
    assert listed["changed"]["code"] == "DP_2001"
    assert listed["changed"]["reason"] == f"dlq_loan changed: {REASON}"
    assert (listed["changed"]["tries"], listed["replayed"]["tries"]) == (1, 2)
    assert listed["replayed"]["first_letter"] != listed["replayed"]["place"]
    assert listed["\x1b[31mjunk"]["stage"] == "decode"
    everything = dlq.json("list", "--all")
    assert [letter["key"] for letter in everything["letters"]].count("replayed") == 2
    assert everything["total"] == 4


def test_a_list_is_filtered_and_cut_to_the_newest(dlq: Letters) -> None:
    assert by_key(dlq, "--stage", "decode").keys() == {"\x1b[31mjunk"}
    assert by_key(dlq, "--code", "DP_2001", "--table", "dlq_loan").keys() == {"changed", "replayed"}
    assert by_key(dlq, "--since", "2999-01-01") == {}
    assert by_key(dlq, "--store", "redis") == {}
    cut = dlq.json("list", "--limit", "1")
    assert (cut["total"], len(cut["letters"])) == (3, 1)
    newest = max(dlq.json("list")["letters"], key=lambda letter: letter["first_failed_at"])
    assert newest["key"] != "replayed"


def test_a_list_for_people_has_places_to_copy_and_nothing_that_a_terminal_obeys(dlq: Letters) -> None:
    shown = dlq.run("list")
    for letter in dlq.json("list")["letters"]:
        assert f"{letter['place']}  dlq_loan " in shown
    assert "\x1b" not in shown
    assert "\\x1b[31mjunk" in shown
    assert REASON in shown
    assert dlq.run("list", "--since", "2999-01-01") == "no dead letters\n"


def test_a_change_is_shown_before_and_after(dlq: Letters) -> None:
    letter = by_key(dlq)["changed"]
    found = dlq.json("show", letter["place"])
    change = found["change"]
    assert change["operation"] == "u"
    assert change["before"]["begins"] < change["after"]["begins"]
    assert change["before"] | {"begins": 0} == change["after"] | {"begins": 0}
    assert found["replay"] == {"would": "fail", "why": REASON, "times_left": 3}
    assert found["outcomes"].keys() == {"milvus", "neo4j", "elasticsearch", "redis"}
    shown = dlq.run("show", letter["place"])
    (line,) = [line for line in shown.splitlines() if line.startswith("*")]
    assert line.split() == ["*", "begins", GOOD, INFINITE]
    assert f"would fail: {REASON}" in shown


def test_of_a_replay_that_failed_the_command_and_the_first_letter_are_shown(dlq: Letters) -> None:
    letter = by_key(dlq)["replayed"]
    found = dlq.json("show", letter["place"])
    assert found["command"]["reason"] == "replay"
    assert found["command"]["letter"] == letter["first_letter"]
    assert f"first letter {letter['first_letter']}" in dlq.run("show", letter["place"])
    first = dlq.json("show", letter["first_letter"])
    assert (first["key"], first["tries"], first["change"]["operation"]) == ("replayed", 1, "u")


def test_what_cannot_be_decoded_is_shown_by_its_first_bytes(dlq: Letters) -> None:
    (junk,) = by_key(dlq, "--stage", "decode").values()
    found = dlq.json("show", junk["place"])
    assert (found["undecoded"]["begins"], found["undecoded"]["bytes"]) == ("01 6a 75 6e 6b ff", 6)
    assert (found["replay"]["would"], found["nameless"]) == ("nothing", junk["nameless"])
    shown = dlq.run("show", junk["place"])
    assert "6 bytes: 01 6a 75 6e 6b ff" in shown
    assert "\x1b" not in shown


def test_letters_are_counted(dlq: Letters) -> None:
    found = dlq.json("stats", "--table", "dlq_loan")
    assert (found["open"], found["replayed"]) == (3, 1)
    assert found["by"] == {
        "table": {"dlq_loan": {"open": 3, "replayed": 1}},
        "stage": {"project": {"open": 2, "replayed": 1}, "decode": {"open": 1, "replayed": 0}},
        "code": {"DP_2001": {"open": 2, "replayed": 1}, "DP_1004": {"open": 1, "replayed": 0}},
        "store": {NONE: {"open": 3, "replayed": 1}},
        "age": {"under 1 hour": {"open": 3, "replayed": 1}},
    }
    assert "3 open, 1 replayed" in dlq.run("stats")


def test_what_there_is_not_is_told_with_what_there_is(dlq: Letters) -> None:
    for arguments, code, words in (
        (["list", "--table", "nothing"], 10, "one of: dlq_loan"),
        (["list", "--stage", "late"], 10, "one of: decode, project, apply"),
        (["show", "dlq.nothing/0/0"], 10, f"one of: {dlq.dlq}"),
        (["show", "somewhere"], 10, "topic/partition/offset"),
        (["show", f"{dlq.dlq}/0/999"], 1, "no letter at"),
        (["show", f"{dlq.dlq}/77/0"], 1, "aegis dlq list --all"),
    ):
        assert words in dlq.run(*arguments, expect=code)


def test_the_products_own_letters_can_be_looked_at(pipeline: sa.Engine) -> None:
    for command in (["list"], ["stats"], ["replay", "--dry-run"]):
        aegis("dlq", *command)
