"""When all keys of a table were last found right in a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from reconciler.history import Success
from reconciler.shard import Shard


def last_successes(successes: Iterable[Success]) -> Mapping[tuple[str, str], datetime]:
    """(table, store) -> the time; none where no run has covered all keys.

    A share says nothing of the others: n shares count once all n are there, and then for the oldest of them.
    Of several complete sets (0/1; 0/4 to 3/4) the newest counts.
    """
    sets: defaultdict[tuple[str, str, int], dict[int, datetime]] = defaultdict(dict)
    for success in successes:
        shard = Shard.parse(success.shard)
        sets[success.table, success.store, shard.count][shard.number] = success.at
    found: dict[tuple[str, str], datetime] = {}
    for (table, store, count), shares in sets.items():
        if len(shares) == count:
            oldest = min(shares.values())
            found[table, store] = max(oldest, found.get((table, store), oldest))
    return found
