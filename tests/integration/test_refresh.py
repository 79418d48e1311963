"""`aegis refresh` on the running path: whatever happened to a record, it is its row's again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from processor.build import make_stores
from processor.delivery import partition_of
from processor.keys import kafka_key, parse_kafka_key
from processor.settings import Settings
from processor.stamp import Stamp, make_version
from processor.stores.base import Put, Remove, Store
from processor.tables import projection_of
from processor.tables.base import View
from tests.conformance import HOSTILE_KEYS
from tests.integration.conftest import aegis
from tests.integration.path import (
    assert_stores_equal_postgresql,
    catch_up,
    delete,
    in_kafka,
    insert,
    policy,
    processor_running,
    unique,
)
from tests.integration.records import ends, records

POLICIES = projection_of("policies")
TOPIC = "aegis.public.policies"


@pytest.fixture(scope="module", autouse=True)
def processor(pipeline: sa.Engine) -> Iterator[None]:
    """A processor that runs while this module's tests do."""
    with processor_running():
        yield


@pytest.fixture
def prefix(pipeline: sa.Engine, settings: Settings) -> Iterator[str]:
    """Three policies of this test, shown in all stores."""
    prefix = unique("refresh")
    insert(pipeline, [policy(f"{prefix}-{n}") for n in range(3)])
    catch_up(pipeline, settings)
    yield prefix
    delete(pipeline, prefix)
    catch_up(pipeline, settings)


@pytest.fixture
def stores(settings: Settings) -> Iterator[dict[str, Store]]:
    made = {store.name: store for store in make_stores(settings)}
    yield made
    for store in made.values():
        store.close()


def remove(store: Store, view: View, key: str) -> None:
    store.apply(view, [Remove(key, store.stamps(view, [key])[key])])


def alter(store: Store, view: View, key: str, stamp: Stamp | None = None, **fields: object) -> None:
    """Change fields behind the processor's back; the fingerprint keeps saying that all is right."""
    (held,) = store.stamps(view, [key]).values()
    record = store.read(view, [key])[key]
    store.apply(view, [Put(key, held, stamp or held.stamp, {**record.body, **fields}, record.vector)])


def test_a_lost_record_a_surplus_one_and_an_altered_one_are_healed(
    pipeline: sa.Engine, settings: Settings, prefix: str, stores: dict[str, Store]
) -> None:
    lost, altered, surplus = f"{prefix}-0", f"{prefix}-1", f"{prefix}-gone"
    for view in POLICIES.views:
        store = stores[view.store]
        record = store.read(view, [altered])[altered]
        remove(store, view, lost)
        alter(store, view, altered, title="누가 바꾼 제목")
        store.apply(view, [Put(surplus, None, record.stamp, record.body, record.vector)])
    with pytest.raises(AssertionError):
        assert_stores_equal_postgresql(settings, pipeline)
    aegis("refresh", "policies", lost, surplus)
    aegis("refresh", "policies", "--where", f"policy_id = '{altered}'", "--force")
    catch_up(pipeline, settings)
    assert_stores_equal_postgresql(settings, pipeline)
    for view in POLICIES.views:
        assert stores[view.store].stamps(view, [lost])[lost].stamp.version == make_version(0, 0)


def test_without_force_a_record_whose_fingerprint_agrees_is_left_alone(
    pipeline: sa.Engine, settings: Settings, prefix: str, stores: dict[str, Store]
) -> None:
    key, view = f"{prefix}-0", POLICIES.view("redis")
    alter(stores["redis"], view, key, title="누가 바꾼 제목")
    aegis("refresh", "policies", key, "--stores", "redis")
    catch_up(pipeline, settings)
    assert stores["redis"].read(view, [key])[key].body["title"] == "누가 바꾼 제목"
    aegis("refresh", "policies", key, "--stores", "redis", "--force")
    catch_up(pipeline, settings)
    assert_stores_equal_postgresql(settings, pipeline)


def test_force_sets_back_a_stamp_that_cannot_be_so_that_later_changes_are_shown(
    pipeline: sa.Engine, settings: Settings, prefix: str, stores: dict[str, Store]
) -> None:
    key = f"{prefix}-0"
    for view in POLICIES.views:
        held = stores[view.store].stamps(view, [key])[key].stamp
        beyond = Stamp(make_version(2, 1), held.seen, held.xid, held.fp)
        alter(stores[view.store], view, key, stamp=beyond)
    with pipeline.begin() as connection:
        connection.execute(
            sa.update(POLICIES.table).where(POLICIES.table.c.policy_id == key).values(title="새 제목")
        )
    catch_up(pipeline, settings)
    with pytest.raises(AssertionError):
        assert_stores_equal_postgresql(settings, pipeline)
    aegis("refresh", "policies", key, "--force")
    catch_up(pipeline, settings)
    assert_stores_equal_postgresql(settings, pipeline)


def test_keys_are_made_byte_for_byte_as_connect_makes_them(pipeline: sa.Engine, settings: Settings) -> None:
    prefix = unique("keys")
    wanted = {f"{prefix} {key}"[:64] for key in [*HOSTILE_KEYS, "\x1f\x7f\b\f\t\u2028/é"]}
    begin = {number: high for number, (_, high) in ends(settings, TOPIC).items()}
    insert(pipeline, [policy(key, source_record_id=f"{prefix}-{n}") for n, key in enumerate(wanted)])
    in_kafka(pipeline)
    seen = set()
    for record in records(settings, TOPIC, begin):
        raw = bytes(record.key() or b"")
        values = parse_kafka_key(POLICIES.key_columns, raw)
        if values["policy_id"].startswith(prefix):
            assert kafka_key(POLICIES.key_columns, values) == raw
            assert partition_of(raw, settings.kafka.partitions) == record.partition()
            seen.add(values["policy_id"])
    assert seen == wanted
    delete(pipeline, prefix)


def test_what_is_asked_wrongly_is_refused_before_anything_is_sent() -> None:
    for arguments, words in (
        (["policies"], "name either keys or"),
        (["policies", "x", "--where", "true"], "name either keys or"),
        (["policies", "--where", "no_such_column = 1"], "no_such_column"),
        (["policies", "--where", "true); DELETE FROM policies; --"], "multiple commands"),
        (["policies", "x", "--stores", "redis,nowhere"], "'nowhere'"),
        (["nothing", "x"], "no projected table"),
    ):
        result = aegis("refresh", *arguments, check=False)
        assert (result.returncode, words in result.stderr) == (10, True), result.stderr


def test_a_dry_run_counts_and_sends_nothing(settings: Settings, prefix: str) -> None:
    refreshes = f"refresh.{TOPIC}"
    before = ends(settings, refreshes)
    where = f"policy_id LIKE '{prefix}%'"
    result = aegis("refresh", "policies", "--where", where, "--dry-run", "--json")
    assert json.loads(result.stdout) == {"table": "policies", "rows": 3, "sent": 0}
    assert ends(settings, refreshes) == before
