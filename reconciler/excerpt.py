"""Text of rows and records as a page may show it: cut, and nothing in it invisible.

Keys and values are whatever somebody stored: half a megabyte, NUL, marks that turn the direction of writing,
halves of characters that UTF-8 cannot hold. Escaping for HTML is the template's.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

KEY_SHOWN: Final = 120
TEXT_SHOWN: Final = 600
VALUE_SHOWN: Final = 240
"""Characters of a key, of a sentence, and of each side of a difference."""
CONTEXT: Final = 40
"""Of these, the ones before the first that differs: values of 500 kB differ far behind their beginning."""
VARIATION_SELECTORS: Final = dict.fromkeys(range(0xFE00, 0xFE10))


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One side of a difference; `skipped` and `more` characters of it lie before and behind what is shown."""

    skipped: int
    before: str
    changed: str
    after: str
    more: int


def visible(text: str) -> str:
    """What does not show, or acts on its surroundings, as its code point: `[U+202E]`; lines and tabs stay."""
    return "".join(char if char.isprintable() or char in "\n\t" else _code(char) for char in text)


def shorten(text: str, shown: int = TEXT_SHOWN) -> str:
    """At most so many characters: the first two thirds, how many are left out, the last third."""
    if len(text) <= shown:
        return visible(text)
    head, tail = shown - shown // 3, shown // 3
    return f"{visible(text[:head])} … {len(text) - shown:,} characters … {visible(text[-tail:])}"


def contrast(expected: str, found: str) -> tuple[Excerpt, Excerpt]:
    """Both sides around what differs: from the first character that does to the last."""
    start = _common(expected, found)
    end = _common(expected[start:][::-1], found[start:][::-1])
    sides = _excerpt(expected, start, end), _excerpt(found, start, end)
    if _looks(sides[0].changed) == _looks(sides[1].changed):  # one syllable, composed and decomposed
        return _spelled(sides[0]), _spelled(sides[1])
    return sides


def _excerpt(text: str, start: int, end: int) -> Excerpt:
    first, behind = max(start - CONTEXT, 0), len(text) - end
    last = min(first + VALUE_SHOWN, len(text))
    return Excerpt(
        skipped=first,
        before=visible(text[first:start]),
        changed=visible(text[start : min(behind, last)]),
        after=visible(text[behind : max(behind, last)]),
        more=len(text) - last,
    )


def _common(one: str, other: str) -> int:
    """Length of the common beginning, by halves: comparing slices is 100 times faster than characters."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _looks(text: str) -> str:
    return unicodedata.normalize("NFKC", text).translate(VARIATION_SELECTORS)


def _spelled(side: Excerpt) -> Excerpt:
    codes = "".join(char if char.isascii() else _code(char) for char in side.changed)
    return Excerpt(side.skipped, side.before, codes, side.after, side.more)


def _code(char: str) -> str:
    return f"[U+{ord(char):04X}]"
