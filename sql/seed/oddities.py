"""Rows that are legal but not tidy, as real sources deliver them: each has broken some pipeline before."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any, Final

from sql.seed.catalog import INDUSTRIES, REGIONS

Row = dict[str, Any]


def _four_byte_characters(row: Row) -> None:
    row["title"] += " 🚀𠮷"
    row["content"] = f"📢 {row['content']}"[:4_000]


def _decomposed_hangul(row: Row) -> None:
    """As macOS file names deliver it: each syllable becomes two or three code points."""
    row["title"] = unicodedata.normalize("NFD", row["title"])


def _quotes(row: Row) -> None:
    row["title"] = f"'{row['title']}' \"우수기업\" ‘선정’ “지원”"


def _backslashes(row: Row) -> None:
    row["content"] = f"C:\\신청서\\n_양식\\u0000.hwp 참조. {row['content']}"[:4_000]


def _markup(row: Row) -> None:
    row["content"] = f"<b>필독</b>&nbsp;지원율 50%{{조건}} $1 :id ; -- 끝 {row['content']}"[:4_000]


def _white_space(row: Row) -> None:
    row["title"] = f"  {row['title']}\u00a0\u200b"
    row["content"] = row["content"].replace("\n", "\r\n")[:3_990].rstrip() + "\t\r\n"


def _long_lists(row: Row) -> None:
    row["target_regions"] = list(reversed(REGIONS))
    row["target_industries"] = list(INDUSTRIES)


def _long_title(row: Row) -> None:
    names = "·".join(name for name, _ in REGIONS.values())
    row["title"] = f"{row['title']} ({names}) {' / '.join(INDUSTRIES.values())}"[:500]


ODDITIES: Final[tuple[Callable[[Row], None], ...]] = (
    _four_byte_characters,
    _decomposed_hangul,
    _quotes,
    _backslashes,
    _markup,
    _white_space,
    _long_lists,
    _long_title,
)

_EVERY: Final = 17
"""One row in 17 is odd: 23 of 400, so each kind occurs at least twice in the default seed."""


def make_odd(row: Row, number: int) -> None:
    """Give every 17th row one of the oddities in turn; other rows stay as they are."""
    turn, rest = divmod(number, _EVERY)
    if rest == 9:
        ODDITIES[turn % len(ODDITIES)](row)
