"""The graph: one node per row, its relations to shared nodes owned by it and replaced with it.

Compare-and-set is a lock: each write takes its node's lock and compares afterwards, in one statement (see
processor/stores/cypher.py). Where no node was expected, MERGE under the uniqueness constraint lets exactly
one transaction create it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

from processor.errors import RowRejected
from processor.settings import Neo4jSettings
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import (
    Applied,
    Held,
    LostRace,
    Outcome,
    Put,
    Record,
    Refused,
    Remove,
    Restamp,
    Write,
)
from processor.stores.bolt import NAME, Bolt, Conflict, Indigestible, OverLimit, Step, TooLarge
from processor.stores.cypher import Statements, statements
from processor.stores.neo4j_values import record_of, row_of, stamp_of
from processor.tables.base import View

PAGE: Final = 2_000
MAX_ROWS: Final = 500
"""Rows of one transaction: their locks are held until its end."""
Row = Mapping[str, Any]


class Neo4jStore:
    """Adapter of the graph."""

    name = NAME

    def __init__(self, settings: Neo4jSettings) -> None:
        self._bolt = Bolt(settings)

    def ensure(self, view: View) -> None:
        """Create the constraints; the server returns when their indexes are usable."""
        for constraint in statements(view).constraints:
            self._bolt.run((constraint, {}))

    def stamps(self, view: View, keys: Sequence[str]) -> dict[str, Held]:
        """Read stamps; the token is the stamp's text as the server makes it."""
        (found,) = self._bolt.run((statements(view).stamps, {"keys": list(keys)}))
        return {key: Held(stamp_of(stamp), token) for key, stamp, token in found}

    def read(self, view: View, keys: Sequence[str]) -> dict[str, Record]:
        """Read nodes and the names that they relate to, as many at a time as the server's memory takes."""
        try:
            (found,) = self._bolt.run((statements(view).read, {"keys": list(keys)}))
        except TooLarge:
            if len(keys) == 1:
                raise
            half = len(keys) // 2
            return self.read(view, keys[:half]) | self.read(view, keys[half:])
        return {key: record_of(view, properties, names) for key, properties, names in found}

    def apply(self, view: View, writes: Sequence[Write]) -> list[Outcome]:
        """One transaction per 500 writes, in it one statement per kind of write."""
        outcomes: dict[str, Outcome] = {}
        rows: list[tuple[Write, Row]] = []
        for write in writes:
            if isinstance(write, Remove) and write.expected is None:
                outcomes[write.key] = Applied()  # about entries of a cache, which a graph has none of
                continue
            try:
                rows.append((write, row_of(view, write)))
            except RowRejected as rejected:
                outcomes[write.key] = Refused(str(rejected))
        # two transactions that lock the same nodes in opposite orders would wait for each other
        rows.sort(key=lambda pair: pair[0].key)
        for start in range(0, len(rows), MAX_ROWS):
            outcomes |= self._transaction(view, rows[start : start + MAX_ROWS])
        return [outcomes[write.key] for write in writes]

    def _transaction(self, view: View, rows: Sequence[tuple[Write, Row]]) -> dict[str, Outcome]:
        """Write what can be written; where one row makes all fail, halves find it."""
        keys = [write.key for write, _ in rows]
        try:
            answers = self._bolt.run(*steps(view, rows))
        except Conflict:
            return dict.fromkeys(keys, LostRace())
        except Indigestible as error:
            if len(rows) == 1:
                return {keys[0]: Refused(str(error))}
        except TooLarge as error:
            if len(rows) == 1 and isinstance(error, OverLimit):
                return {keys[0]: Refused(str(error))}
            if len(rows) == 1:
                raise
        else:
            done = {key for answer in answers for key in answer or ()}
            return {key: Applied() if key in done else LostRace() for key in keys}
        half = len(rows) // 2
        return self._transaction(view, rows[:half]) | self._transaction(view, rows[half:])

    def scan(self, view: View, after: str | None = None) -> Iterator[tuple[str, Stamp]]:
        """Page by key through the constraint's index, whose order is that of UTF-8's bytes.

        The pages are no snapshot: what changes meanwhile may be seen before or after.
        """
        last = after or ""
        while True:
            (page,) = self._bolt.run((statements(view).page, {"after": last, "size": PAGE}))
            for key, stamp in page:
                yield key, stamp_of(stamp)
            if len(page) < PAGE:
                return
            last = page[-1][0]

    def count(self, view: View) -> int:
        """Nodes with the view's label."""
        (number,) = self._bolt.run((statements(view).count, {}))
        return int(number)

    def settle(self, view: View) -> None:
        """Nothing to wait for: all calls go to the leader."""

    def ping(self) -> None:
        """Run the smallest query."""
        self._bolt.run(("RETURN 1", {}))

    def close(self) -> None:
        """Close the connections."""
        self._bolt.close()


def steps(view: View, rows: Sequence[tuple[Write, Row]]) -> list[Step]:
    """The statements of one transaction. Shared nodes come first, sorted: within rows they are not."""
    texts = statements(view)
    puts = [row for write, row in rows if isinstance(write, Put)]
    targets: list[Step] = []
    if texts.targets and puts:
        columns = zip(*(row["names"] for row in puts), strict=True)
        targets = [(texts.targets, {"names": [sorted({*chain(*column)}) for column in columns]})]
    kinds: dict[str, list[Row]] = {}
    for write, row in rows:
        kinds.setdefault(_text(texts, write), []).append(row)
    return [*targets, *((text, {"rows": group}) for text, group in kinds.items())]


def _text(texts: Statements, write: Write) -> str:
    if isinstance(write, Put):
        if write.expected is None:
            return texts.create
        return (texts.restore if write.expected.stamp == UNREADABLE else None) or texts.replace
    return texts.restamp if isinstance(write, Restamp) else texts.remove
