"""What a person may see of a personal value, and the last sieve of texts on their way to a log. Pure.

Personal values do not get into messages in the first place: the roles that read for the stores cannot select
them, and errors of PostgreSQL lose their details where they arise (processor/database.py).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

SHOWN: Final = 2
"""Characters at each end that stay, of a text of more than twice as many."""


def mask(text: str) -> str:
    """The first and last two characters, `*` for each of the others; all `*` for four or fewer."""
    if len(text) <= 2 * SHOWN:
        return "*" * len(text)
    return f"{text[:SHOWN]}{'*' * (len(text) - 2 * SHOWN)}{text[-SHOWN:]}"


def redact(text: str) -> str:
    """Mask what a text says to be the value of a private column, and leave out whole rows.

    Known forms: `"email": "..."`, `'email': b'...'`, `email='...'`, `email=...`, `email: ...` (without quotes
    a value ends at the next space or comma), `('email', '...')`, `"personal_info": {...}` or `[...]` (to its
    last bracket), and PostgreSQL's details `Key (email)=(...)` and `Failing row contains (...)`. COMMON ones
    whose name is not quoted (`name=...`, `address: '...'`) are masked only beside the name of another one.
    """
    text = _ROW.sub(r"\1(***)", text)
    rare = _names() - COMMON
    beside = re.search(rf"\b(?:{'|'.join(rare)})\b", text) is not None
    return _forms(beside).sub(_masked, text)


COMMON: Final = frozenset({"name", "address"})
"""Servers tell such things of themselves as well: `name='aegis-sync', address=127.0.0.1:9092`."""

_ROW: Final = re.compile(r"(Failing row contains )\(.*\)", re.DOTALL)
"""To the last bracket: a value may hold brackets and ends of lines itself."""


@cache
def _names() -> frozenset[str]:
    from sql.capture import private_columns

    return frozenset(column.rpartition(".")[2] for column in private_columns())


@cache
def _forms(common: bool) -> re.Pattern[str]:
    names = "|".join(sorted(_names()))
    plain = "|".join(sorted(_names() if common else _names() - COMMON))
    gap = r"[\ \t]*"
    name = rf"""(?:(?:\b(?:{names})['"]|\b(?:{plain})\b){gap}[:=]{{1,2}}{gap}
                 | [(\[]{gap}['"](?:\w+\.)*(?:{names})['"],{gap}(?!['"](?:{names})['"]))"""
    return re.compile(
        rf"""(?P<key>\((?:[^()]*,\ )?(?:{names})(?:,[^()]*)?\)=\()(?P<values>.*)(?=\))
          |  (?P<object>{name}(?=[{{\[]))(?P<members>\{{.*\}}|\[.*\]|.*)
          |  (?P<single>{name}b?')(?P<one>(?:\\.|[^'\\])*)
          |  (?P<double>{name}b?")(?P<two>(?:\\.|[^"\\])*)
          |  (?P<bare>{name})(?!(?:null|None)\b)(?P<word>[^\s'",;()\[\]{{}}]+)""",
        re.VERBOSE | re.DOTALL,
    )


def _masked(found: re.Match[str]) -> str:
    head, value = (part for part in found.groups() if part is not None)
    return head + ("***" if found["object"] else mask(value))
