"""From a commit in PostgreSQL to the stores, over the real Debezium and the real Kafka."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

import pytest
import sqlalchemy as sa
from confluent_kafka import Producer
from redis import Redis

from processor.build import make_stores
from processor.letters import PREFIX
from processor.settings import Settings
from processor.stores.base import Record
from processor.stores.elasticsearch import ElasticsearchStore
from processor.tables import projection_of
from sql.models import Policy
from tests.integration.conftest import aegis
from tests.integration.path import (
    assert_stores_equal_postgresql,
    catch_up,
    delete,
    insert,
    letters_of,
    policy,
    processor_running,
    unique,
    update,
)

POLICIES = projection_of("policies")
SEARCH_VIEW = POLICIES.view("elasticsearch")
STORES = {view.store: view for view in POLICIES.views}
TOPIC = "aegis.public.policies"
Shown = Callable[..., dict[str, dict[str, Record]]]
"""Keys -> store -> key -> the record that its readers find."""


@pytest.fixture
def prefix(pipeline: sa.Engine) -> Iterator[str]:
    """Keys of this test; its rows are removed at the end."""
    prefix = unique("t")
    yield prefix
    delete(pipeline, prefix)


@pytest.fixture(scope="module", autouse=True)
def processor(pipeline: sa.Engine) -> Iterator[None]:
    """A processor that runs while this module's tests do."""
    with processor_running():
        yield


@pytest.fixture
def store(settings: Settings) -> Iterator[ElasticsearchStore]:
    store = ElasticsearchStore(settings.search)
    yield store
    store.close()


@pytest.fixture
def shown(settings: Settings) -> Iterator[Shown]:
    stores = make_stores(settings)
    yield lambda *keys: {store.name: store.read(STORES[store.name], keys) for store in stores}
    for store in stores:
        store.close()


def titles(found: Mapping[str, Mapping[str, Record]]) -> dict[str, object]:
    """The title by key, which all stores must agree on."""
    each = [{key: record.body["title"] for key, record in records.items()} for records in found.values()]
    assert len(each) == 4
    assert all(one == each[0] for one in each), each
    return each[0]


def test_after_seeding_every_store_holds_exactly_the_projection_of_every_row(
    pipeline: sa.Engine, settings: Settings
) -> None:
    aegis("seed")
    catch_up(pipeline, settings)
    assert assert_stores_equal_postgresql(settings, pipeline) >= 4 * 300
    with pipeline.connect() as connection:
        hidden = connection.scalars(
            sa.select(Policy.policy_id).where((Policy.status != "active") | ~Policy.is_active)
        ).all()
    store = ElasticsearchStore(settings.search)
    assert hidden
    assert store.read(SEARCH_VIEW, list(hidden)) == {}
    store.close()


def test_a_row_is_followed_from_its_insert_to_its_delete(
    pipeline: sa.Engine, settings: Settings, prefix: str, shown: Shown
) -> None:
    def title() -> object:
        catch_up(pipeline, settings)
        return titles(shown(prefix)).get(prefix)

    insert(pipeline, [policy(prefix, title="처음", funding_amount_max=5_000_000_000, interest_rate="2.50")])
    assert title() == "처음"
    first = shown(prefix)
    for store in ("milvus", "neo4j", "elasticsearch", "redis"):
        assert first[store][prefix].body["funding_amount_max"] == 5_000_000_000
        assert first[store][prefix].body["interest_rate"] == 2.5
    update(pipeline, prefix, title="다음")
    assert title() == "다음"
    for store, records in shown(prefix).items():
        assert records[prefix].stamp.version > first[store][prefix].stamp.version
    update(pipeline, prefix, is_active=False)
    assert title() is None
    update(pipeline, prefix, is_active=True)
    assert title() == "다음"
    delete(pipeline, prefix)
    assert title() is None


def test_a_change_beside_the_text_keeps_the_vector_byte_for_byte(
    pipeline: sa.Engine, settings: Settings, prefix: str, shown: Shown
) -> None:
    def vector() -> tuple[bytes, str]:
        catch_up(pipeline, settings)
        record = shown(prefix)["milvus"][prefix]
        assert record.vector is not None
        return record.vector.values.tobytes(), record.vector.text_hash

    insert(pipeline, [policy(prefix)])
    first = vector()
    update(pipeline, prefix, target_regions=["50"], application_end_date="2030-12-31")
    assert vector() == first
    assert shown(prefix)["milvus"][prefix].body["target_regions"] == ["50"]
    update(pipeline, prefix, content="전혀 다른 내용")
    changed = vector()
    assert changed[0] != first[0]
    assert changed[1] != first[1]


def test_edges_are_replaced_with_their_row_and_shared_nodes_stay(
    pipeline: sa.Engine, settings: Settings, prefix: str, shown: Shown
) -> None:
    other = f"{prefix}-other"
    insert(pipeline, [policy(key, target_regions=["11", prefix]) for key in (prefix, other)])
    update(pipeline, prefix, target_regions=["26"], issuing_organization="다른 기관")
    catch_up(pipeline, settings)
    records = shown(prefix, other)["neo4j"]
    assert records[prefix].body["target_regions"] == ["26"]
    assert records[prefix].body["issuing_organization"] == ["다른 기관"]
    assert records[other].body["target_regions"] == sorted(["11", prefix])


def test_entries_that_others_computed_from_a_row_are_dropped_when_it_changes(
    pipeline: sa.Engine, settings: Settings, prefix: str
) -> None:
    insert(pipeline, [policy(prefix, target_regions=[f"{prefix}-old"])])
    catch_up(pipeline, settings)
    client = Redis.from_url(settings.redis.url)
    computed = [f"policies:region:{prefix}-old", f"policies:region:{prefix}-new", f"quality_score:{prefix}"]
    unrelated = f"policies:region:{prefix}-unrelated"
    for name in (*computed, unrelated):
        client.set(name, "computed by a reader", ex=600)
    update(pipeline, prefix, target_regions=[f"{prefix}-new"])
    catch_up(pipeline, settings)
    assert [client.exists(name) for name in (*computed, unrelated)] == [0, 0, 0, 1]
    client.delete(unrelated)
    client.close()


def test_of_several_changes_in_one_transaction_the_last_is_shown(
    pipeline: sa.Engine, settings: Settings, prefix: str, shown: Shown
) -> None:
    with pipeline.begin() as connection:
        connection.execute(sa.insert(Policy), [policy(prefix, title="1")])
        for title in ("2", "3"):
            connection.execute(sa.update(Policy).values(title=title).where(Policy.policy_id == prefix))
        connection.execute(sa.delete(Policy).where(Policy.policy_id == prefix))
        connection.execute(sa.insert(Policy), [policy(prefix, title="4")])
    catch_up(pipeline, settings)
    assert titles(shown(prefix)) == {prefix: "4"}


def test_a_changed_key_leaves_nothing_under_the_old_one(
    pipeline: sa.Engine, settings: Settings, prefix: str, shown: Shown
) -> None:
    old, new = f"{prefix}-old", f"{prefix}-new"
    insert(pipeline, [policy(old)])
    catch_up(pipeline, settings)
    update(pipeline, old, policy_id=new)
    catch_up(pipeline, settings)
    assert set(titles(shown(old, new))) == {new}


def test_a_column_that_must_not_leave_the_database_stays_there(
    pipeline: sa.Engine, settings: Settings, prefix: str, store: ElasticsearchStore
) -> None:
    insert(pipeline, [policy(prefix)])
    catch_up(pipeline, settings)
    before = store.read(SEARCH_VIEW, [prefix])[prefix]
    update(pipeline, prefix, raw_data={"only": "here"})
    catch_up(pipeline, settings)
    after = store.read(SEARCH_VIEW, [prefix])[prefix]
    assert after.stamp.version > before.stamp.version
    assert {**after.body, "updated_at": None} == {**before.body, "updated_at": None}
    assert "raw_data" not in after.body


def test_hostile_values_arrive_as_they_are(
    pipeline: sa.Engine, settings: Settings, prefix: str, shown: Shown
) -> None:
    hostile = {
        f'{prefix}-"quotes"': policy(f'{prefix}-"quotes"', title='"따옴표" \\ 역슬래시'),
        f"{prefix}-정책": policy(f"{prefix}-정책", title="\u1112\u1161\u11ab\u1100\u1173\u11af NFD"),
        f"{prefix}-🚀": policy(f"{prefix}-🚀", title="🚀\n\t\u0001", content=""),
        f"{prefix}-x=1,y": policy(f"{prefix}-x=1,y", target_regions=[], target_industries=[]),
    }
    insert(pipeline, hostile.values())
    catch_up(pipeline, settings)
    assert titles(shown(*hostile)) == {key: row["title"] for key, row in hostile.items()}


def test_a_record_that_cannot_be_read_becomes_a_letter_and_stops_nothing(
    pipeline: sa.Engine, prefix: str, settings: Settings, store: ElasticsearchStore
) -> None:
    key = json.dumps({"policy_id": prefix}, separators=(",", ":")).encode()
    producer = Producer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "partitioner": "murmur2_random"}
    )
    producer.produce(
        TOPIC, key=key, value=b"\x01junk\xff", headers=[("mine", b"\x00\xff")], timestamp=1_700_000_000_000
    )
    assert producer.flush(10) == 0
    insert(pipeline, [policy(f"{prefix}-good")])
    catch_up(pipeline, settings)
    (letter,) = letters_of(settings, prefix)
    assert (letter.value(), letter.timestamp()[1]) == (b"\x01junk\xff", 1_700_000_000_000)
    headers = dict(letter.headers())
    assert headers["mine"] == b"\x00\xff"
    assert headers[f"{PREFIX}topic"].decode() == TOPIC
    assert headers[f"{PREFIX}code"] == b"DP_1004"
    assert b"magic byte" in headers[f"{PREFIX}message"]
    assert set(store.read(SEARCH_VIEW, [f"{prefix}-good"])) == {f"{prefix}-good"}


def test_a_row_that_a_store_cannot_hold_becomes_a_letter_naming_the_field(
    pipeline: sa.Engine, prefix: str, settings: Settings, store: ElasticsearchStore
) -> None:
    with pipeline.begin() as connection:
        connection.execute(sa.insert(Policy), [policy(prefix), policy(f"{prefix}-far")])
        connection.execute(
            sa.update(Policy)
            .where(Policy.policy_id == f"{prefix}-far")
            .values(application_end_date=sa.text("'infinity'::date"))
        )
    catch_up(pipeline, settings)
    (letter,) = letters_of(settings, f"{prefix}-far")
    headers = {name: value.decode() for name, value in letter.headers() if name.startswith(PREFIX)}
    assert "application_end_date: a date outside the years" in headers[f"{PREFIX}message"]
    assert headers[f"{PREFIX}code"] == "DP_2001"
    assert json.loads(headers[f"{PREFIX}outcomes"]) == dict.fromkeys(STORES, "skipped")
    assert set(store.read(SEARCH_VIEW, [prefix])) == {prefix}


def test_trace_shows_a_row_beside_its_records(
    pipeline: sa.Engine, settings: Settings, prefix: str, store: ElasticsearchStore
) -> None:
    insert(pipeline, [policy(prefix), policy(f"{prefix}-hidden", status="archived")])
    catch_up(pipeline, settings)
    shown = json.loads(aegis("trace", "policies", prefix, "--json").stdout)
    record = store.read(SEARCH_VIEW, [prefix])[prefix]
    assert shown["source"]["title"] == f"소상공인 경영안정자금 {prefix}"
    assert shown["stores"]["elasticsearch"] == {
        "state": "ok",
        "version": str(record.stamp.version),
        "fp": record.stamp.fp,
    }
    hidden = json.loads(aegis("trace", "policies", f"{prefix}-hidden", "--json").stdout)
    assert hidden["stores"]["elasticsearch"]["state"] == "not_projected"


def test_trace_finds_what_somebody_else_changed_in_a_store(
    pipeline: sa.Engine, settings: Settings, prefix: str, store: ElasticsearchStore
) -> None:
    insert(pipeline, [policy(prefix)])
    catch_up(pipeline, settings)
    store._client.update(index=store.index(SEARCH_VIEW), id=prefix, doc={"title": "남이 고침"})
    result = aegis("trace", "policies", prefix, "--json", check=False)
    assert result.returncode == 1
    shown = json.loads(result.stdout)["stores"]["elasticsearch"]
    assert shown["state"] == "stale"
    assert shown["differences"]["title"]["store"] == "남이 고침"
    store._client.delete(index=store.index(SEARCH_VIEW), id=prefix)
    gone = json.loads(aegis("trace", "policies", prefix, "--json", check=False).stdout)
    assert gone["stores"]["elasticsearch"]["state"] == "missing"
