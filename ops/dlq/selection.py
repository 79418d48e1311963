"""Which dead letters somebody asks for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from processor.dead_letters import DeadLetter
from processor.errors import STORE_CODES, ConfigurationError

STAGES: Final = ("decode", "project", "apply")
_AGO: Final = re.compile(r"(\d{1,6})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_PLACE: Final = re.compile(r"([^/]+)/(\d{1,9})/(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters; `since` in ms since 1970, compared with when the row first failed. None: any."""

    stage: str | None = None
    code: str | None = None
    store: str | None = None
    since: int | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether all that is asked for holds."""
        wanted = (self.stage, letter.stage), (self.code, letter.code), (self.store, letter.store)
        recent = self.since is None or letter.first_failed_at >= self.since
        return recent and all(asked in (None, found) for asked, found in wanted)


def select(
    stage: str | None, code: str | None, store: str | None, since: str | None, now: datetime
) -> Selection:
    """What the command line asks for.

    Raises:
        ConfigurationError: a stage or store that there is not, or a time that is none.
    """
    _one_of("stage", stage, STAGES)
    _one_of("store", store, tuple(STORE_CODES))
    return Selection(stage, code, store, None if since is None else parse_since(since, now))


def parse_since(text: str, now: datetime) -> int:
    """Milliseconds since 1970 of a time in ISO form (UTC when it does not say), or of 30m, 2h, 3d ago.

    Raises:
        ConfigurationError: neither.
    """
    ago = _AGO.fullmatch(text)
    try:
        at = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])}) if ago else datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise ConfigurationError(
            f"--since {text!r}: {error}", hint="--since 2h, or 2026-01-31T08:00"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def parse_place(text: str) -> tuple[str, int, int]:
    """Topic, partition and offset of a letter.

    Raises:
        ConfigurationError: not written topic/partition/offset.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"{text!r} is not a letter's place: topic/partition/offset", hint="aegis dlq list shows them"
        )
    return found[1], int(found[2]), int(found[3])


def _one_of(what: str, given: str | None, known: tuple[str, ...]) -> None:
    if given is not None and given not in known:
        raise ConfigurationError(f"no {what} {given!r}", hint=f"one of: {', '.join(known)}")
