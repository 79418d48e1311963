"""What can be wrong with a record although nothing is under way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from processor.stamp import XID_LIMIT, Stamp, make_version
from reconciler.verdict import Verdict
from tests.protocol.path import EPOCH, fingerprint
from tests.protocol.source import Source

BEYOND = 1_000
"""More than two rechecks can add to the log, or to the ids given."""
OTHER = "0123456789abcdef"
NEVER = "transaction that never was"
"""This world has given every 32-bit number before: a right record may bear any of them, from long ago."""


def faults(
    source: Source, record: Stamp | None, first: Stamp | None
) -> Iterator[tuple[str, Stamp | None, Verdict]]:
    """Name, the record with the fault, the right verdict; the first of them is no fault.

    Args:
        source: of that moment.
        record: as it should be.
        first: as it was at the beginning.
    """
    yield "nothing is wrong", record, Verdict.OK
    earlier = [*_earlier(source), *([first] if first else [])]
    for old in earlier or [Stamp(make_version(EPOCH, 0), 0, None, OTHER)]:
        for name, stamp in _impossible(source, record or old):
            rested = name == NEVER and record is not None
            yield name, stamp, Verdict.OK if rested else Verdict.CORRUPT_STAMP
            yield f"{name}, and other contents", replace(stamp, fp=OTHER), Verdict.CORRUPT_STAMP
        if record is None:
            yield "resurrected", old, Verdict.ORPHAN
    if record is not None:
        yield "deleted", None, Verdict.MISSING
        yield "other contents under its stamp", replace(record, fp=OTHER), Verdict.STALE


def _earlier(source: Source) -> Iterator[Stamp]:
    """Records that there may have been."""
    for event in source.events:
        if fp := fingerprint(event.value):
            yield Stamp(make_version(EPOCH, event.position), event.position, event.xid, fp)


def _impossible(source: Source, stamp: Stamp) -> Iterator[tuple[str, Stamp]]:
    beyond = source.end + BEYOND
    yield "version beyond the log", replace(stamp, version=make_version(EPOCH, beyond))
    yield "epoch beyond ours", replace(stamp, version=make_version(EPOCH + 1, 0))
    yield "seen beyond the log", replace(stamp, seen=beyond)
    yield NEVER, replace(stamp, xid=(source.next_xid + BEYOND) % XID_LIMIT)
