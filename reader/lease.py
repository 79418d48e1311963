"""Leases: why what a reader puts into the cache is never older than what the processor has done there.

A reader that misses an entry loads it from PostgreSQL and would write it. "Only if it is absent" is not
enough:

1. A reader misses an entry and reads its row. It is slow, or its machine is stopped.
2. The row is deleted (or changed, and the entry expires). The processor removes the entry.
3. The reader writes what it has read. Nothing follows that would remove it.

So, as memcached does, a reader takes a lease before it reads, and may write only while that lease stands.
Every write of the processor drops the leases of the entry and of all that it invalidates, in the same
script, also where there is no entry. In step 3 the lease is gone. A lease's token is never used twice:
whoever was frozen while his lease expired finds none, or another's.

That leaves reads which are too old although their lease is fresh:

1. Transaction T deletes a row and commits: the log has it, and the stream brings the delete to the
   processor.
2. The processor removes the entry, or the list that named the row. For other sessions T is still running:
   PostgreSQL shows a commit a moment after logging it (with a synchronous standby that is away: much
   later).
3. A reader takes a lease and reads. It still sees the row, and writes.

Whatever the processor had done before the lease was given, was done by transactions that had a number by
then. So a read counts if its snapshot shows all those as ended. `following` is the number that the next one
would have got, asked for after the lease was taken: the snapshot must have `xmin >= following`. Often
nobody writes at the moment, and the first read counts. If it does not, it is returned but not written, and
the lease stays, now with `following`: the first read that shows the end of those transactions counts,
whoever does it. If the processor drops the lease meanwhile, all begins anew.

A row that nobody has touched (`xmax` 0) was not changed by any T, seen or not: it counts at once. Lists
need the long way: what is about to join them is in no row that the reader can see.

If the entry expires meanwhile: leases are given only where there is none, and writes of the processor
compare with what it has read; neither of two writers then overwrites the other unseen.

What remains lives no longer than the entry: see docs/cache.md.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Final

from processor.snapshot import Snapshot

SECONDS: Final = 10
"""How long a lease stands: longer than a load of two statements. If its owner has died, others wait for
`WAIT_SECONDS` at each miss meanwhile."""
WAIT_SECONDS: Final = 0.2
"""How long others wait for the entry while somebody loads it: most loads take a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to make an entry.

    Attributes:
        token: tells it from all others.
        following: transactions below it (64-bit ids) must have ended in the read that counts; None while the
            lease's owner makes its first read.
    """

    token: str
    following: int | None = None

    @classmethod
    def new(cls) -> Lease:
        """Another one than all before."""
        return cls(secrets.token_hex(8))

    @classmethod
    def parse(cls, text: str) -> Lease:
        """The inverse of `text`."""
        token, _, following = text.partition(":")
        return cls(token, int(following) if following.isdecimal() else None)

    @property
    def text(self) -> str:
        """As the cache holds it."""
        return f"{self.token}:{'' if self.following is None else self.following}"

    def after(self, snapshot: Snapshot) -> Lease:
        """With what the first read under it has shown to be at work."""
        return self if self.following is not None else replace(self, following=snapshot.following)

    def admits(self, snapshot: Snapshot, locker: int | None) -> bool:
        """Whether a read counts that was made under this lease (see above).

        `locker` is the `xmax` of the only row that was read; None if there were several.
        """
        following = snapshot.following if self.following is None else self.following
        return locker == 0 or snapshot.xmin >= following
