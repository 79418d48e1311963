"""The stamp that every derived record carries, and the arithmetic of versions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Final

EPOCH_SHIFT: Final = 54
LSN_LIMIT: Final = 1 << EPOCH_SHIFT
"""An LSN counts bytes of log: 2**54 is 16 PiB, some 570 years at 1 MB/s."""
XID_LIMIT: Final = 1 << 32
HELD_BACK: Final = "-held-back-"
"""In the fingerprint of a record that shows an older image under a newer change's stamp, because a store
refused that change. After it stands the name of the image."""


def make_version(epoch: int, last_commit_lsn: int) -> int:
    """`epoch << 54 | last_commit_lsn`: per key it never falls in the stream.

    The position of the last commit before the change, not the change's own: slots emit in commit order, so
    a transaction that wrote early and committed late carries a smaller own position than its predecessor.
    The epoch in front outranks every position of an earlier cluster, whose log may have been longer.

    Raises:
        ValueError: the position does not fit.
    """
    if not 0 <= last_commit_lsn < LSN_LIMIT:
        raise ValueError(f"log position out of range: {last_commit_lsn}")
    return epoch << EPOCH_SHIFT | last_commit_lsn


def split_version(version: int) -> tuple[int, int]:
    """(epoch, last_commit_lsn) of a version."""
    return version >> EPOCH_SHIFT, version & (LSN_LIMIT - 1)


def name_image(*origin: object) -> str:
    """12 hexadecimal digits that stand for what a row was at one moment."""
    return hashlib.md5(repr(origin).encode(), usedforsecurity=False).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a derived record says about its origin.

    Attributes:
        version: the guard; only streamed changes move it.
        seen: how far into the log (LSN) the source had been read when the record was written.
        xid: transaction of the last streamed change, 32 bits; None for a snapshot row.
        fp: fingerprint of the columns that the view uses, 16 hexadecimal digits; see also HELD_BACK.
    """

    version: int
    seen: int
    xid: int | None
    fp: str

    @property
    def contents(self) -> str:
        """The fingerprint of what the record shows."""
        return self.fp.partition(HELD_BACK)[0]

    @property
    def is_held_back(self) -> bool:
        """Whether the record shows an older image than the stamp's change."""
        return HELD_BACK in self.fp

    @property
    def image(self) -> str:
        """The name of what the record shows, the same in all stores: that of the change, unless held back."""
        name = self.fp.partition(HELD_BACK)[2]
        return name or name_image(self.version, self.seen, self.xid)

    def held_back(self, contents: str, image: str) -> Stamp:
        """This stamp, of a record that shows an older image; `contents` is its fingerprint in this view."""
        return replace(self, fp=f"{contents}{HELD_BACK}{image}")

    def to_text(self) -> dict[str, str]:
        """As JSON-safe text: 64-bit integers are not exact in every reader of JSON."""
        return {
            "version": str(self.version),
            "seen": str(self.seen),
            "xid": "" if self.xid is None else str(self.xid),
            "fp": self.fp,
        }

    @classmethod
    def from_text(cls, fields: Any) -> Stamp:
        """The inverse of `to_text`; `UNREADABLE` for anything else."""
        try:
            xid = fields["xid"]
            return cls(int(fields["version"]), int(fields["seen"]), int(xid) if xid else None, fields["fp"])
        except (KeyError, ValueError, TypeError):
            return UNREADABLE


UNREADABLE: Final = Stamp(version=0, seen=0, xid=None, fp="")
"""Stamp of a record that bears none of ours: any change overwrites it, and no fingerprint equals it."""
