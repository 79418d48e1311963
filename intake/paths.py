"""Paths of the taxonomy: labels from the root on, as people write them, and how far apart two are. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from unicodedata import normalize

from rapidfuzz.distance import Levenshtein

from intake.errors import BadPath

Path = tuple[str, ...]

MAX_LABEL: Final = 200
MAX_LABELS: Final = 50
"""Each takes bytes of its own in the unique index, whose entries are bounded: 2,704 bytes."""
CLOSEST: Final = 5
FORGOTTEN: Final = 0.5
"""What a label too few or too many counts. A wrong label counts up to 1, so that `창업` is closer to
`정책/창업`, of which the first label was forgotten, than to `정책`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A path that may have been meant; 0 is the same path."""

    path: Path
    distance: float


def path_of(labels: Sequence[str]) -> Path:
    """The labels as nodes have them: in Unicode's form NFC, without white space around.

    Raises:
        BadPath: no label, more than MAX_LABELS, or one that is empty, too long or holds a NUL character.
    """
    if isinstance(labels, str):
        raise BadPath("a path is a list of labels, not a text", hint="parse_path() reads a text")
    path = tuple(normalize("NFC", label).strip() for label in labels)
    if not path:
        raise BadPath("a path needs at least one label")
    if len(path) > MAX_LABELS:
        raise BadPath(f"a path has at most {MAX_LABELS} labels")
    for number, label in enumerate(path, 1):
        if not label:
            raise BadPath(f"part {number} of the path is empty")
        if len(label) > MAX_LABEL or "\0" in label:
            raise BadPath(
                f"part {number} of the path must be text of 1 to {MAX_LABEL} characters without NUL"
            )
    return path


def parse_path(text: str) -> Path:
    """Read `정책/창업`. A slash in a label is written `\\/`, a backslash `\\\\`.

    Raises:
        BadPath: an empty label, or a backslash before something else.
    """
    labels = [""]
    letters = iter(text)
    for letter in letters:
        if letter == "/":
            labels.append("")
        elif letter != "\\":
            labels[-1] += letter
        elif (escaped := next(letters, "")) in {"/", "\\"} and escaped:
            labels[-1] += escaped
        else:
            raise BadPath(
                f"a backslash stands before {escaped or 'the end'}",
                hint=r"write \\ for a backslash, \/ for a slash",
            )
    return path_of(labels)


def format_path(path: Sequence[str]) -> str:
    """The text that `parse_path` reads."""
    return "/".join(label.replace("\\", "\\\\").replace("/", "\\/") for label in path)


def distance(one: Path, other: Path) -> float:
    """Edit distance of two paths.

    A label too few or too many counts FORGOTTEN, a wrong one the share of its letters that must be edited
    (0 to 1). Hangul is compared letter by letter, not by syllables: `창엽` is a sixth away from `창업`.
    """
    row = [FORGOTTEN * n for n in range(len(other) + 1)]
    for label in one:
        above, row = row, [row[0] + FORGOTTEN]
        for n, wanted in enumerate(other):
            changed = above[n] + _changed(label, wanted)
            row.append(min(above[n + 1] + FORGOTTEN, row[n] + FORGOTTEN, changed))
    return row[-1]


@lru_cache(maxsize=65_536)
def _changed(label: str, wanted: str) -> float:
    return Levenshtein.normalized_distance(normalize("NFD", label), normalize("NFD", wanted))


def closest(path: Path, others: Iterable[Path]) -> tuple[Candidate, ...]:
    """The CLOSEST of `others`, the closest first; equally close ones by their labels."""
    found = heapq.nsmallest(CLOSEST, ((distance(path, other), other) for other in others))
    return tuple(Candidate(other, round(far, 3)) for far, other in found)
