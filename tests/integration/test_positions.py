"""Positions in the log and waiting for them, on the real server and the running slot."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from processor.settings import Settings
from sql.capture import SLOT
from sql.migrate import upgrade
from sql.positions import format_lsn, insert_lsn, mark, read_slot, wait_streamed
from sql.queries import QUERIES
from tests.integration.scratch import scratch_database, scratch_roles

FAR = 1 << 62
CHANGES = """
    SELECT data FROM pg_logical_slot_get_binary_changes(
        :slot, NULL, NULL, 'proto_version', '1', 'publication_names', 'aegis_publication')
    WHERE get_byte(data, 0) = ascii('C')
"""


@pytest.fixture(scope="module")
def quiet(settings: Settings) -> Iterator[sa.Engine]:
    """A migrated database where nobody else writes."""
    with scratch_roles(settings) as roles, scratch_database(settings) as engine:
        upgrade(engine, roles)
        yield engine


def commits(connection: sa.Connection, slot: str) -> list[tuple[int, int]]:
    """Position of each commit in the stream, and where its record ends (pgoutput: C, flags, two LSNs)."""
    found = connection.execute(sa.text(CHANGES), {"slot": slot}).scalars()
    return [(int.from_bytes(data[2:10]), int.from_bytes(data[10:18])) for data in found]


def test_a_mark_lies_behind_every_commit_before_it_and_ahead_of_its_own(quiet: sa.Engine) -> None:
    with quiet.connect().execution_options(isolation_level="AUTOCOMMIT") as reader:
        slot = f"own_{quiet.url.database}"
        reader.execute(
            sa.text("SELECT pg_create_logical_replication_slot(:slot, 'pgoutput', true)"), {"slot": slot}
        )
        with quiet.begin() as connection:
            connection.execute(sa.text("UPDATE cdc.heartbeat SET ts = now()"))

        position = mark(quiet)

        (_, first_end), (own, _), _ = commits(reader, slot)
    assert first_end <= position <= own


def test_a_transaction_open_at_the_mark_may_commit_behind_it(quiet: sa.Engine) -> None:
    with quiet.begin() as late:
        late.execute(sa.text("UPDATE cdc.heartbeat SET ts = now()"))
        position = mark(quiet)
    with quiet.connect() as connection:
        assert insert_lsn(connection) > position


def test_a_mark_removes_those_older_than_an_hour_and_no_other(quiet: sa.Engine) -> None:
    with quiet.begin() as connection:
        connection.execute(sa.text("DELETE FROM cdc.fence"))
        for minutes in (59, 61):
            connection.execute(
                sa.text("INSERT INTO cdc.fence (created_at) VALUES (now() - make_interval(mins => :m))"),
                {"m": minutes},
            )
    mark(quiet)
    with quiet.connect() as connection:
        ages = connection.execute(
            sa.text("SELECT extract(epoch FROM now() - created_at)::int / 60 FROM cdc.fence ORDER BY id")
        )
        assert list(ages.scalars()) == [59, 0, 0]


def test_a_position_is_written_as_postgresql_writes_it(quiet: sa.Engine) -> None:
    with quiet.connect() as connection:
        for position in (insert_lsn(connection), 0, 0xFFFFFFFF, 1 << 32, 0x0ABC_0000_00DE):
            statement = sa.text("SELECT ('0/0'::pg_lsn + CAST(:position AS numeric))::text")
            assert connection.scalar(statement, {"position": position}) == format_lsn(position)


def test_waiting_ends_when_the_running_slot_has_passed_the_mark(pipeline: sa.Engine) -> None:
    position = mark(pipeline)
    wait_streamed(pipeline, SLOT, position, timeout_seconds=60)
    with pipeline.connect() as connection:
        slot = read_slot(connection, SLOT)
    assert slot is not None
    assert slot.confirmed_flush_lsn is not None
    assert slot.confirmed_flush_lsn >= position
    assert slot.active
    assert slot.wal_status == "reserved"
    assert slot.lag_bytes is not None


def test_waiting_for_a_slot_that_is_missing_says_so(database: sa.Engine) -> None:
    wanted = re.escape("slot no_slot did not pass 0/A in 0.1 s: there is no such slot")
    with pytest.raises(TimeoutError, match=wanted):
        wait_streamed(database, "no_slot", 10, timeout_seconds=0.1)


def test_waiting_in_vain_names_the_slot_and_both_positions(pipeline: sa.Engine) -> None:
    wanted = rf"slot {SLOT} did not pass 40000000/0 in 0\.1 s: it is at [0-9A-F]+/[0-9A-F]+$"
    with pytest.raises(TimeoutError, match=wanted):
        wait_streamed(pipeline, SLOT, FAR, timeout_seconds=0.1)


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_the_server_understands_every_query(quiet: sa.Engine, name: str) -> None:
    parameters = list(dict.fromkeys(re.findall(r"(?<![:\w]):([a-z_]+)\b", QUERIES[name])))
    statement = re.sub(
        r"(?<![:\w]):([a-z_]+)\b", lambda found: f"${parameters.index(found[1]) + 1}", QUERIES[name]
    )
    with quiet.connect() as connection:
        connection.exec_driver_sql(f"PREPARE one AS {statement}")
        prepared = connection.exec_driver_sql("SELECT statement FROM pg_prepared_statements").scalars()
        assert any(text.startswith("PREPARE one AS") for text in prepared)


def test_dropping_a_slot_removes_it_but_never_one_in_use(quiet: sa.Engine) -> None:
    name = f"idle_{quiet.url.database}"
    create = sa.text("SELECT pg_create_logical_replication_slot(:slot, 'pgoutput', :temporary)")
    with quiet.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(create, {"slot": name, "temporary": False})
        connection.execute(sa.text(QUERIES["drop_slot"]), {"slot": name})
        assert read_slot(connection, name) is None

        # its own session uses it as long as that lives
        connection.execute(create, {"slot": name, "temporary": True})
        connection.execute(sa.text(QUERIES["drop_slot"]), {"slot": name})
        assert read_slot(connection, name) is not None
