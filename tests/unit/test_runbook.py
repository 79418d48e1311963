"""docs/runbook.md: a section for everything that a run can say, and only commands that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, Final, cast

import pytest
import typer.main

from ops.cli import app
from ops.stack.layout import ROOT
from processor.errors import ConfigurationError
from reconciler.contract import INTERNAL, USAGE_ERROR
from reconciler.counts import Kind
from reconciler.errors import Overlapping
from reconciler.report import CONSISTENT, DRIFT, REPAIRED, STOPPED, UNVERIFIED
from tests.unit.nightly import setting_names

DOCS: Final = ROOT / "docs"
TEXT: Final = (DOCS / "runbook.md").read_text("utf-8")
HEADINGS: Final = re.findall(r"^#{2,3} (.+)$", TEXT, re.MULTILINE)
CODES: Final = (
    *(CONSISTENT, DRIFT, REPAIRED, UNVERIFIED, STOPPED),
    *(Overlapping.exit_code, ConfigurationError.exit_code, INTERNAL),
)
SHOWING: Final = ("runbook.md", "reconciliation.md", "schedule.md")
ASSIGNMENT: Final = re.compile(r"([A-Z][A-Z_]*)=\S*")


def commands(name: str) -> list[tuple[str, ...]]:
    """`aegis ...` lines of a page's code blocks, as a shell splits them, with the settings before them."""
    found = []
    for block in re.findall(
        r"^ *```\n(.*?)^ *```$", (DOCS / name).read_text("utf-8"), re.DOTALL | re.MULTILINE
    ):
        for line in block.splitlines():
            words = re.sub(r"^\s*\$ ", "", line)
            if re.match(r"(?:[A-Z_]+=\S* )*aegis [a-z]", words):
                found.append(tuple(shlex.split(words, comments=True)))
    return found


def split(words: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Names of the settings before a command, and its arguments."""
    start = words.index("aegis")
    names = [found[1] for word in words[:start] if (found := ASSIGNMENT.fullmatch(word))]
    assert len(names) == start
    return names, list(words[start + 1 :])


def parse(arguments: list[str]) -> None:
    """By the command line's own parser; nothing is run.

    Raises:
        click's UsageError: there is no such command or option, or not with such a value.
    """
    command = cast(Any, typer.main.get_command(app))
    parent = None
    while hasattr(command, "commands"):
        parent = command.make_context(command.name, arguments, parent, resilient_parsing=True)
        name, *arguments = arguments
        command = command.commands.get(name)
        if command is None:
            raise USAGE_ERROR(f"no command {name}")
    command.make_context(command.name, arguments, parent)


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_exit_code_has_a_section_and_a_line_in_the_table() -> None:
    assert {
        int(found[1]) for heading in HEADINGS if (found := re.match(r"Exit code (\d+):", heading))
    } == set(CODES)
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", TEXT, re.MULTILINE)] == sorted(CODES)


def test_every_kind_of_finding_has_a_section() -> None:
    assert {f"Finding: {kind.value}" for kind in Kind} <= set(HEADINGS)


def test_every_section_says_how_to_know_that_it_is_over() -> None:
    sections = [part.partition("\n") for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]]
    assert [name for name, _, body in sections if "**Over**" not in body] == ["Exit code 0: consistent"]


def test_every_link_within_the_page_leads_to_a_section() -> None:
    links = re.findall(r"\]\(#([^)]+)\)", TEXT)
    assert set(links) <= {slug(heading) for heading in HEADINGS}
    assert len(links) > len(CODES) + len(Kind)


def shown() -> Iterator[Any]:
    for name in SHOWING:
        for words in dict.fromkeys(commands(name)):
            yield pytest.param(words, id=f"{name}: {shlex.join(words)}")


@pytest.mark.parametrize("words", list(shown()))
def test_every_command_that_is_shown_is_one(words: tuple[str, ...]) -> None:
    names, arguments = split(words)
    assert set(names) <= setting_names()
    parse(arguments)


@pytest.mark.parametrize(
    "words",
    [
        ("reconcile", "chekc"),
        ("reconcile", "check", "--store", "redis"),
        ("reconcile", "repair", "--max-delete-ratio", "2"),
        ("connector", "delete", "--slots"),
    ],
)
def test_a_command_that_is_none_would_be_noticed(words: tuple[str, ...]) -> None:
    with pytest.raises(USAGE_ERROR):
        parse(list(words))
