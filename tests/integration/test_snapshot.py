"""What the processor's read can know about transactions that have not ended, on the real PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa

from processor.settings import Settings
from processor.snapshot import Snapshot
from processor.source import RowReader
from processor.tables import projection_of

_XID = sa.text("SELECT pg_current_xact_id()::text::bigint & 4294967295")


def _snapshot(settings: Settings) -> Snapshot:
    reader = RowReader(settings.postgres)
    try:
        return reader.read(projection_of("policies"), [{"policy_id": "none"}]).snapshot
    finally:
        reader.close()


def test_a_running_transaction_is_hidden_also_while_none_after_it_has_ended(settings: Settings) -> None:
    engine = sa.create_engine(settings.postgres.url())
    try:
        with engine.connect() as running, engine.connect() as later:
            xid = running.execute(_XID).scalar_one()
            assert _snapshot(settings).hides(xid)  # usually the last to begin: PostgreSQL does not list it
            last = later.execute(_XID).scalar_one()
            later.rollback()
            snapshot = _snapshot(settings)
            assert snapshot.hides(xid)
            assert not snapshot.hides(last)
            assert not snapshot.precedes(xid)
            assert snapshot.precedes(last + 10_000)
            running.rollback()
            assert not _snapshot(settings).hides(xid)
    finally:
        engine.dispose()
