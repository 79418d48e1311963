"""What readers tell about their cache: every number, what it means, what to do when it moves.

In the registry of the process that imports this, since its start. `entry` is a kind of entry, never a key.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter

HITS: Final = Counter(
    "aegis_cache_hits_total",
    "Answers by where they were found: process (memory of this process) or redis.",
    ["entry", "level"],
)
MISSES: Final = Counter(
    "aegis_cache_misses_total",
    "Reads that found no entry. As many as reads: Redis is away, or too small to keep its entries.",
    ["entry"],
)
LOADS: Final = Counter(
    "aegis_cache_loads_total",
    "Loads from PostgreSQL by what became of them: filled (an entry was made), open (not yet: transactions "
    "are at work that it may not show), lost (a change came in between, another reader was at it, or Redis "
    "was away), absent (nothing to show), failed. Fewer than misses: readers of one entry share a load.",
    ["entry", "outcome"],
)
ERRORS: Final = Counter(
    "aegis_cache_errors_total",
    "Requests that Redis did not answer, to read or to write. Any: the log of the process says why.",
    ["work"],
)
