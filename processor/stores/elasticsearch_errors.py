"""What an answer of the search server means to us. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from processor.errors import Misconfigured, Unavailable
from processor.stores.elasticsearch_document import NAME

_GONE: Final = frozenset({"index_not_found_exception", "index_closed_exception"})
_OVERLOADED: Final = frozenset({408, 429, 500, 502, 503, 504})
_SHARD: Final = "GET _cluster/allocation/explain; after a full disk: POST _cluster/reroute?retry_failed=true"
_PASSING: Final[Mapping[str | None, str]] = {
    "cluster_block_exception": "see the server's log: a full disk, no master, or a block in its settings",
    # a server tries five times to open a shard, then waits for an operator
    "unavailable_shards_exception": _SHARD,
    "no_shard_available_action_exception": _SHARD,
}
"""Kinds of errors that pass, whatever their status, with what helps."""
_MEMORY: Final = re.compile(r"_operation_bytes=(\d+), max_\w+_bytes=(\d+)")
"""What an operation takes of the server's memory, and how much all of them together may take."""


class Doubt(Exception):
    """The server refuses a whole request, maybe for what is in it: smaller requests may tell.

    Attributes:
        certain: a request that cannot be smaller is to blame. Otherwise it may be the server's set-up: an
            older one, for example, answers 400 to everything.
    """

    def __init__(self, message: str, *, certain: bool) -> None:
        super().__init__(message)
        self.certain = certain

    def error(self) -> Misconfigured:
        """What it is when no record of ours can be to blame."""
        return Misconfigured(NAME, str(self), hint="check SEARCH_URL and the server's version: 9 is needed")


def meaning(status: int, kind: str | None, reason: str | None) -> Unavailable | Misconfigured | Doubt:
    """What an error means: of a request, or of one part of it."""
    message = f"answered {status}: {kind}: {reason}"
    if status == 413 or (status == 429 and _never_fits(reason)):
        return Doubt(f"the server takes no request of this size: {message}", certain=True)
    if status == 400:
        return Doubt(message, certain=False)
    # a server that was restarted has forgotten where scans stood: they begin anew
    lost_scan = kind == "search_phase_execution_exception" and status == 404
    if lost_scan or kind in _PASSING or status in _OVERLOADED:
        return Unavailable(NAME, message, hint=_PASSING.get(kind))
    hint = "check SEARCH_USER and SEARCH_PASSWORD" if status in {401, 403} else "restart the processor"
    return Misconfigured(NAME, message, hint=hint)


def of_document(kind: str | None, reason: str | None) -> Unavailable | Misconfigured | Doubt:
    """The same for one document that could not be read; a shard that is not up yet answers so, too."""
    return meaning(404 if kind in _GONE else 503, kind, reason)


def _never_fits(reason: str | None) -> bool:
    """Whether the request alone takes more than all requests together may."""
    found = _MEMORY.search(reason or "")
    return found is not None and int(found[1]) > int(found[2])
