"""The cache's adapter on the real server: the common suite, and what only this store can do.

What hurts a server is done to one of the test's own: see test_redis_server.py.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import pytest
from pydantic import SecretStr
from redis import Redis

from processor.errors import Misconfigured, Unavailable
from processor.settings import Settings
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Applied, Held, LostRace, Put, Refused, Remove, Restamp, Write
from processor.stores.redis import RedisStore
from processor.stores.redis_entry import text_of
from processor.stores.redis_leases import RedisLeases
from processor.tables.base import View
from tests.conformance import VIEW_FIELDS, CompareAndSetConformance, body
from tests.unit.test_spill import open_files

STAMP, LATER = Stamp(1, 1, 1, "f"), Stamp(2, 2, 2, "f")
FOREIGN = ["", "text", "{", "=", '{"name":"theirs"}', '{"_stamp":{"version":1}}', "12", "x" * 1_000]


@pytest.fixture
def raw(settings: Settings) -> Iterator[Redis]:
    with Redis.from_url(settings.redis.url) as client:
        yield client


@pytest.fixture
def view(raw: Redis) -> Iterator[View]:
    view = View(store="redis", name=f"test-{uuid.uuid4().hex}", fields=VIEW_FIELDS)
    yield view
    for names in batched(raw.scan_iter(f"*{view.name}*", count=1_000), 1_000):
        raw.unlink(*names)


@pytest.fixture
def store(settings: Settings, view: View) -> Iterator[RedisStore]:
    store = RedisStore(settings.redis)
    store.ensure(view)
    yield store
    store.close()


class TestRedisStore(CompareAndSetConformance):
    """The suite that every store passes."""


def put(key: str, stamp: Stamp = STAMP, expected: Held | None = None, **more: object) -> Put:
    """A Put whose record says in `name` which stamp it was written with."""
    return Put(key, expected, stamp, body(str(stamp.version)), **more)  # type: ignore[arg-type]


def batched(names: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    while page := list(islice(names, size)):
        yield page


def free_and_used(store: RedisStore) -> tuple[int, ...]:
    """Connections of the store's pool."""
    return tuple(count for count, _ in store._client.connection_pool.get_connection_count())


def held(store: RedisStore, view: View, key: str = "k") -> Held:
    return store.stamps(view, [key])[key]


def test_readers_get_the_row_as_plain_json_by_the_views_name_and_key(
    store: RedisStore, view: View, raw: Redis
) -> None:
    store.apply(view, [put("POL-2025-001")])
    value = raw.get(f"{view.name}:POL-2025-001")
    assert isinstance(value, bytes)
    assert json.loads(value) == {"_stamp": STAMP.to_text(), **body("1")}
    assert "청년 창업" in value.decode()
    assert b"9007199254740993" in value


def test_every_write_renews_the_expiry(settings: Settings, store: RedisStore, view: View, raw: Redis) -> None:
    name, ttl = f"{view.name}:k", settings.redis.ttl_seconds
    writes: list[Callable[[], Write]] = [
        lambda: put("k"),
        lambda: put("k", LATER, held(store, view)),
        lambda: Restamp("k", held(store, view), STAMP),
    ]
    for write in writes:
        assert store.apply(view, [write()]) == [Applied()]
        assert ttl - 60 < raw.ttl(name) <= ttl
        raw.expire(name, 100)


def test_without_an_expiry_entries_stay(settings: Settings, view: View, raw: Redis) -> None:
    store = RedisStore(settings.redis.model_copy(update={"ttl_seconds": 0}))
    store.apply(view, [put("k")])
    assert raw.ttl(f"{view.name}:k") == -1
    raw.expire(f"{view.name}:k", 100)
    store.apply(view, [Restamp("k", held(store, view), LATER)])
    assert raw.ttl(f"{view.name}:k") == -1
    store.close()


def test_an_expired_entry_is_just_not_there(store: RedisStore, view: View, raw: Redis) -> None:
    store.apply(view, [put("k"), put("other")])
    before = held(store, view)
    raw.expire(f"{view.name}:k", -1)
    assert set(store.stamps(view, ["k", "other"])) == {"other"}
    assert set(store.read(view, ["k", "other"])) == {"other"}
    assert [key for key, _ in store.scan(view)] == ["other"]
    assert store.apply(view, [put("k", LATER, before)]) == [LostRace()]
    assert store.apply(view, [put("k", LATER)]) == [Applied()]


def test_what_others_computed_of_the_row_goes_with_its_old_image(
    store: RedisStore, view: View, raw: Redis
) -> None:
    regions = dataclasses.replace(view, invalidates=(f"of-{view.name}:{{regions}}",))
    lists = {name: f"of-{view.name}:{name}" for name in ("11", "26", "41")}
    store.apply(view, [put("k")])
    for name in lists.values():
        raw.rpush(name, "k")
    stale = regions.stale_entries({"regions": ["11"]}) | regions.stale_entries({"regions": ["26"]})
    lost = put("k", LATER, expected=None, invalidates=stale)
    assert store.apply(view, [lost]) == [LostRace()]
    assert raw.exists(*lists.values()) == 3
    assert store.apply(view, [put("k", LATER, held(store, view), invalidates=stale)]) == [Applied()]
    assert [name for name, key in lists.items() if raw.exists(key)] == ["41"]


def test_a_removal_drops_what_was_computed_even_where_the_record_had_expired(
    store: RedisStore, view: View, raw: Redis
) -> None:
    name = f"of-{view.name}"
    store.apply(view, [put("k")])
    raw.set(name, "computed")
    assert store.apply(view, [Remove("k", None, frozenset({name}))]) == [LostRace()]
    assert raw.exists(name) == 1
    assert store.apply(view, [Remove("k", held(store, view), frozenset({name}))]) == [Applied()]
    assert raw.exists(name, f"{view.name}:k") == 0
    raw.set(name, "computed")
    assert store.apply(view, [Remove("k", None, frozenset({name}))]) == [Applied()]
    assert raw.exists(name) == 0


def test_no_reader_sees_a_new_record_beside_an_old_list(store: RedisStore, view: View, raw: Redis) -> None:
    """The writer fills the list of each version before it writes the next; a reader reads both at once."""
    name, wrong, done = f"of-{view.name}", [], threading.Event()

    def read(client: Redis) -> None:
        while not done.is_set():
            record, computed = client.mget(f"{view.name}:k", name)
            if record and computed and json.loads(record)["name"] != str(json.loads(computed)):
                wrong.append((record, computed))

    store.apply(view, [put("k")])
    reader = threading.Thread(target=read, args=(raw,))
    reader.start()
    try:
        for n in range(2, 250):
            raw.set(name, str(n - 1))
            write = put("k", Stamp(n, n, n, "f"), held(store, view), invalidates=frozenset({name}))
            assert store.apply(view, [write]) == [Applied()]
            assert raw.get(name) is None
    finally:
        done.set()
        reader.join()
    assert wrong == []


@pytest.mark.parametrize("value", [*FOREIGN, ["a", "list"]])
def test_what_somebody_else_wrote_is_seen_and_overwritten(
    store: RedisStore, view: View, raw: Redis, value: str | list[str]
) -> None:
    name = f"{view.name}:theirs"
    if isinstance(value, str):
        raw.set(name, value)
    else:
        raw.rpush(name, *value)
    store.apply(view, [put("ours")])
    assert list(store.scan(view)) == [("ours", STAMP), ("theirs", UNREADABLE)]
    assert store.read(view, ["theirs", "ours"])["theirs"].stamp == UNREADABLE
    foreign = store.stamps(view, ["theirs", "ours"])["theirs"]
    assert foreign.stamp == UNREADABLE
    assert store.apply(view, [put("theirs")]) == [LostRace()]
    (outcome,) = store.apply(view, [Restamp("theirs", foreign, LATER)])
    assert isinstance(outcome, Refused)
    assert store.apply(view, [put("theirs", STAMP, foreign)]) == [Applied()]
    assert store.apply(view, [put("theirs", LATER, foreign)]) == [LostRace()]
    assert store.read(view, ["theirs"])["theirs"].stamp == STAMP


def test_a_foreign_record_may_be_removed(store: RedisStore, view: View, raw: Redis) -> None:
    raw.hset(f"{view.name}:theirs", "a", "hash")
    assert store.apply(view, [Remove("theirs", held(store, view, "theirs"))]) == [Applied()]
    assert raw.exists(f"{view.name}:theirs") == 0


def test_a_key_that_is_no_text_stops_the_scan_by_name(store: RedisStore, view: View, raw: Redis) -> None:
    raw.set(f"{view.name}:".encode() + b"\xff", "theirs")
    with pytest.raises(Misconfigured, match=r"\\xff' is not ours") as caught:
        list(store.scan(view))
    assert "UNLINK" in str(caught.value.hint)


@pytest.mark.parametrize("prefix", ["", "p*", "[a-z]:", "back\\slash?", "앞 "])
def test_names_are_taken_literally_and_neighbours_stay_out(
    settings: Settings, view: View, raw: Redis, prefix: str
) -> None:
    store = RedisStore(settings.redis.model_copy(update={"key_prefix": prefix}))
    tricky = dataclasses.replace(view, name=f"{view.name}[a]*?\\")
    for name in ("", "-more", "[a]*?", "[a]*?\\more", "a*?\\", "[a]xx\\", "[a]*?\\\\"):
        raw.set(f"{prefix}{view.name}{name}:neighbour", "theirs")
        raw.set(f"p-{view.name}{name}:neighbour", "theirs")
    gone = f"of-{view.name}"
    raw.set(f"{prefix}{gone}", "computed")
    store.apply(tricky, [put("k", invalidates=frozenset({gone}))])
    assert list(store.scan(tricky)) == [("k", STAMP)]
    assert store.count(tricky) == 1
    assert raw.exists(f"{prefix}{tricky.name}:k") == 1
    assert raw.exists(f"{prefix}{gone}") == 0
    store.close()


@pytest.mark.parametrize(
    "change", [{"name": "a:b"}, {"name": "a", "invalidates": ("b:{x}", "a:of:{x}")}, {"name": "lease"}]
)
def test_a_view_whose_entries_would_be_taken_for_others_is_a_misconfiguration(
    store: RedisStore, view: View, change: dict[str, object]
) -> None:
    with pytest.raises(Misconfigured, match="mistaken for others") as caught:
        store.ensure(dataclasses.replace(view, **change))  # type: ignore[arg-type]
    assert "processor/tables" in str(caught.value.hint)


def test_a_scan_during_writes_gives_each_key_once_with_a_stamp_that_it_had(
    store: RedisStore, view: View
) -> None:
    """New keys make the server's table grow, whereby a scan meets some keys twice."""
    stays = [f"stays-{n:05}" for n in range(3_000)]
    store.apply(view, [put(key) for key in stays])
    done = threading.Event()

    def write() -> None:
        n = 0
        while not done.is_set():
            n += 1
            keys = stays[n * 100 % 3_000 :][:100]
            found = store.stamps(view, keys)
            news = [put(f"new-{n}-{i}") for i in range(100)]
            store.apply(view, [*news, *(Restamp(key, found[key], LATER) for key in keys)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            scanned = list(store.scan(view))
            assert {key for key, _ in scanned} >= set(stays)
            assert all(one < other for (one, _), (other, _) in pairwise(scanned))
            assert {stamp for _, stamp in scanned} <= {STAMP, LATER}
    finally:
        done.set()
        writer.join()


def test_a_reader_that_stops_early_leaves_neither_file_nor_connection(
    settings: Settings, view: View, raw: Redis
) -> None:
    before = open_files()
    store = RedisStore(settings.redis)
    store.apply(view, [put("a"), put("b")])
    for _ in range(3):
        scan = store.scan(view)
        assert next(scan)[0] == "a"
        scan.close()  # type: ignore[attr-defined]
    assert open_files() == before
    assert free_and_used(store) == (1, 0)
    store.close()


def test_a_row_may_name_more_entries_than_one_call_takes(store: RedisStore, view: View, raw: Redis) -> None:
    names = [f"of-{view.name}:{n}" for n in range(10_000)]
    raw.mset(dict.fromkeys(names, "computed"))
    assert store.apply(view, [put("k", invalidates=frozenset(names))]) == [Applied()]
    assert raw.exists(*names) == 0


@pytest.fixture
def leases(settings: Settings) -> Iterator[RedisLeases]:
    leases = RedisLeases(settings.redis)
    yield leases
    leases.close()


def test_a_lease_is_one_readers_until_it_ends_and_is_not_given_where_the_entry_is(
    leases: RedisLeases, store: RedisStore, view: View, raw: Redis
) -> None:
    name, text = f"{view.name}:k", text_of(STAMP, body("loaded"))
    assert isinstance(text, bytes)
    assert leases.lease(name, "one", 60) == "one"
    assert 0 < raw.ttl(f"lease:{name}") <= 60
    assert leases.lease(name, "other", 60) == "one"
    assert not leases.fill(name, "other", text, 60)
    assert leases.fill(name, "one", b"", 60, "left", 50)
    assert leases.lease(name, "other", 60) == "left"
    assert 0 < raw.ttl(f"lease:{name}") <= 50
    assert leases.fill(name, "left", text, 60)
    assert store.read(view, ["k"])["k"].body == body("loaded")
    assert 0 < raw.ttl(name) <= 60
    assert raw.exists(f"lease:{name}") == 0
    assert leases.lease(name, "other", 60) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda held: put("k", LATER, held, invalidates=frozenset({"of"})),
        lambda held: Restamp("k", held, LATER),
        lambda held: Remove("k", held),
        lambda held: Remove("k", None, frozenset({"of"})),
    ],
)
def test_every_write_drops_the_leases_of_the_entry_and_of_what_was_computed(
    leases: RedisLeases, store: RedisStore, view: View, raw: Redis, change: Callable[[Held], Write]
) -> None:
    of = f"of-{view.name}"
    store.apply(view, [put("k")])
    write = change(held(store, view))
    if isinstance(write, Put | Remove) and write.invalidates:
        write = dataclasses.replace(write, invalidates=frozenset({of}))
        assert leases.lease(of, "computed", 60) == "computed"
    if write.expected is None:
        raw.unlink(f"{view.name}:k")
    raw.set(f"lease:{view.name}:k", "record")
    assert store.apply(view, [write]) == [Applied()]
    assert raw.exists(f"lease:{view.name}:k", f"lease:{of}") == 0
    assert not leases.fill(of, "computed", b"old", 60)
    assert raw.exists(of) == 0


def test_a_server_that_is_away_is_unavailable_and_names_the_command(settings: Settings, view: View) -> None:
    away = RedisStore(settings.redis.model_copy(update={"url": "redis://app:s3cret@127.0.0.1:9/0"}))
    for call in (away.ping, lambda: away.stamps(view, ["k"]), lambda: list(away.scan(view))):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/0 does not answer") as caught:
            call()
        assert "aegis stack up redis" in str(caught.value.hint)
        assert "s3cret" not in str(caught.value)
    away.close()


def test_a_password_that_nobody_asked_for_is_a_misconfiguration(settings: Settings) -> None:
    store = RedisStore(settings.redis.model_copy(update={"user": "app", "password": SecretStr("s3cret")}))
    with pytest.raises(Misconfigured) as caught:
        store.ping()
    assert "REDIS_PASSWORD" in str(caught.value.hint)
    assert "s3cret" not in str(caught.value)
    store.close()


def test_a_database_that_the_server_lacks_is_a_misconfiguration(settings: Settings) -> None:
    url = settings.redis.url.rpartition("/")[0] + "/99999"
    store = RedisStore(settings.redis.model_copy(update={"url": url}))
    with pytest.raises(Misconfigured, match="out of range"):
        store.ping()
    store.close()
