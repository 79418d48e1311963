"""Whether each store takes what the processor sends: the store is asked, and the processor where one runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from processor.errors import AegisError
from processor.settings import Settings

if TYPE_CHECKING:
    from processor.stores.base import Store

_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  not listened on, but asked instead
ASK_SECONDS: Final = 2


def read_processor(settings: Settings) -> dict[str, Any] | None:
    """What a processor of this stack, on this machine, says of itself; None where none answers."""
    import httpx

    from processor.health import identity

    host, port = settings.metrics.host, settings.metrics.port
    if not port:
        return None
    url = f"http://{_ANYWHERE.get(host, host)}:{port}/health/ready"
    try:
        said = httpx.get(url, timeout=ASK_SECONDS, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return None
    expected = identity(settings)
    is_ours = isinstance(said, dict) and {name: said.get(name) for name in expected} == expected
    return said if is_ours else None


def read_states(
    stores: Mapping[str, Store], processor: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Each store's state: up, or away with `error`, `next`, and `since` when the processor waits for it.

    A store may answer us and yet take no writes: what the processor says counts as well.
    """
    waits = processor["waits_for"] if processor else {}
    return {name: _state(store, waits.get(name)) for name, store in stores.items()}


def _state(store: Store, wait: Mapping[str, Any] | None) -> dict[str, Any]:
    if wait:
        since = datetime.fromtimestamp(wait["since"], UTC).isoformat(timespec="seconds")
        return {"state": "away", "error": wait["reason"], "next": wait["hint"], "since": since}
    try:
        store.ping()
    except AegisError as error:
        return {"state": "away", "error": str(error), "next": error.hint, "since": None}
    return {"state": "up"}
