"""Which of two versions is newer, whatever they are called. Pure."""

from __future__ import annotations

import re
from typing import Final

END: Final = (1, 0, "")


def version_key(version: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sorts versions from the oldest to the newest.

    Numbers count as numbers (1.9.0 < 1.10.0 < 2025.1). What goes on with a number is newer (1.0 < 1.0.1),
    what goes on with a word older (1.0.0-rc1 < 1.0.0). A `v` in front does not count, nor what stands
    between. Where nothing else tells two apart, their text does.
    """
    parts = re.findall(r"[0-9]+|[^\W\d_]+", re.sub(r"^[vV](?=[0-9])", "", version))
    words = tuple((2, int(part), "") if part.isdecimal() else (0, 0, part.casefold()) for part in parts)
    return (*words, END), version
