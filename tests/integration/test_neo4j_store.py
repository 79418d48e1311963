"""The graph adapter on the real server: the common suite, and what only this store can do.

What hurts a server is done to one of the test's own: see tests/trouble.
"""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from neo4j import GraphDatabase, Session
from pydantic import SecretStr
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.errors import Misconfigured, Unavailable
from processor.settings import Settings
from processor.stamp import UNREADABLE, Stamp
from processor.stores import neo4j as adapter
from processor.stores.base import Applied, Held, LostRace, Outcome, Put, Refused, Remove, Restamp, Write
from processor.stores.cypher import quote, statements
from processor.stores.neo4j import Neo4jStore
from processor.stores.neo4j_values import MAX_INDEXED_BYTES
from processor.tables.base import Edge, FieldType, View
from tests.conformance import VIEW_FIELDS, CompareAndSetConformance, body

STAMP, LATER = Stamp(1, 1, 1, "f"), Stamp(2, 2, 2, "f")


@pytest.fixture(scope="module")
def raw(settings: Settings) -> Iterator[Session]:
    neo4j = settings.neo4j
    auth = (neo4j.user, neo4j.password.get_secret_value())
    with (
        GraphDatabase.driver(neo4j.uri, auth=auth, notifications_min_severity="OFF") as driver,
        driver.session(database=neo4j.database) as session,
    ):
        yield session


@pytest.fixture(scope="module")
def suite_view(raw: Session) -> Iterator[View]:
    """One for all tests: constraints take time."""
    yield from with_constraints(raw, View("neo4j", f"Test_{uuid.uuid4().hex}", VIEW_FIELDS))


@pytest.fixture(scope="module")
def suite_graph(raw: Session) -> Iterator[View]:
    tag = uuid.uuid4().hex
    edges = (
        Edge("regions", "FOR", f"Region_{tag}", "code"),
        Edge("industries", "FOR", f"Industry_{tag}", "code"),
        Edge("office", "ISSUED_BY", f"Office_{tag}", "name"),
    )
    yield from with_constraints(raw, View("neo4j", f"Rule_{tag}", {"title": FieldType.KOREAN}, edges=edges))


@pytest.fixture(scope="module")
def suite_hub(raw: Session) -> Iterator[View]:
    """Rows that are shared nodes themselves, and state relations to others."""
    tag = uuid.uuid4().hex
    edges = (Edge("regions", "FOR", f"Region_{tag}", "code"),)
    fields = {name: kind for name, kind in VIEW_FIELDS.items() if name != "regions"}
    yield from with_constraints(raw, View("neo4j", f"Doc_{tag}", fields, edges=edges, hub=f"DocId_{tag}"))


@pytest.fixture(scope="module")
def plain_hub(raw: Session) -> Iterator[View]:
    tag = uuid.uuid4().hex
    yield from with_constraints(raw, View("neo4j", f"Plain_{tag}", VIEW_FIELDS, hub=f"PlainId_{tag}"))


def with_constraints(raw: Session, view: View) -> Iterator[View]:
    yield view
    for label in labels(view):
        for (name,) in raw.run(
            "SHOW CONSTRAINTS YIELD name, labelsOrTypes AS l WHERE $l IN l RETURN name", l=label
        ):
            raw.run(f"DROP CONSTRAINT {name}").consume()


def note(view: View) -> str:
    """Label of nodes that somebody else relates to ours."""
    return f"Note_{view.name}"


def labels(view: View) -> list[str]:
    hub = [view.hub] if view.hub else []
    return [view.name, note(view), *hub, *(edge.label for edge in view.edges)]


def emptied(raw: Session, view: View) -> Iterator[View]:
    yield view
    for label in labels(view):
        raw.run(f"MATCH (n:{label}) DETACH DELETE n").consume()


@pytest.fixture
def view(suite_view: View, raw: Session) -> Iterator[View]:
    yield from emptied(raw, suite_view)


@pytest.fixture
def graph(suite_graph: View, raw: Session, store: Neo4jStore) -> Iterator[View]:
    store.ensure(suite_graph)
    yield from emptied(raw, suite_graph)


@pytest.fixture
def store(settings: Settings, view: View) -> Iterator[Neo4jStore]:
    store = Neo4jStore(settings.neo4j)
    store.ensure(view)
    yield store
    store.close()


class TestNeo4jStore(CompareAndSetConformance):
    """The suite that every store passes."""


class TestRowsThatAreHubs(CompareAndSetConformance):
    """The same of nodes that are there before their row and after it."""

    @pytest.fixture
    def view(self, plain_hub: View, raw: Session) -> Iterator[View]:
        yield from emptied(raw, plain_hub)


def held(store: Neo4jStore, view: View, key: str = "k") -> Held:
    return store.stamps(view, [key])[key]


def put(key: str = "k", stamp: Stamp = STAMP, expected: Held | None = None, **changed: Any) -> Put:
    return Put(key, expected, stamp, body() | changed)


def rule(regions: list[str], industries: list[str] | None = None, office: str = "중기부") -> dict[str, Any]:
    return {"title": "규칙", "regions": regions, "industries": industries or [], "office": [office]}


def related(raw: Session, view: View, key: str = "k") -> list[list[str]]:
    """[type, label of the target, its name] of all relations of a node."""
    found = raw.run(
        f"MATCH (n:{view.name} {{_key: $key}})-[r]->(t) "
        "RETURN type(r), labels(t)[0] AS label, coalesce(t.code, t.name) AS name ORDER BY label, name",
        key=key,
    )
    return [[kind, label.partition("_")[0], name] for kind, label, name in found]


def names_of(raw: Session, label: str) -> list[str]:
    return [name for (name,) in raw.run(f"MATCH (t:{label}) RETURN t.code AS name ORDER BY name")]


# relations


def test_a_row_replaces_its_relations_and_no_others(store: Neo4jStore, graph: View, raw: Session) -> None:
    assert store.apply(graph, [Put("k", None, STAMP, rule(["11", "26"], ["A"]))]) == [Applied()]
    raw.run(f"MATCH (n:{graph.name}) CREATE (n)-[:FOR]->(:{note(graph)} {{code: 'theirs'}})").consume()
    assert store.read(graph, ["k"])["k"].body == rule(["11", "26"], ["A"])
    assert store.apply(graph, [Put("k", held(store, graph), LATER, rule(["26", "41"], ["B"]))]) == [Applied()]
    assert related(raw, graph) == [
        ["FOR", "Industry", "B"],
        ["FOR", "Note", "theirs"],
        ["ISSUED_BY", "Office", "중기부"],
        ["FOR", "Region", "26"],
        ["FOR", "Region", "41"],
    ]
    assert store.read(graph, ["k"])["k"].body == rule(["26", "41"], ["B"])


def test_a_relation_that_stays_is_not_written_again(store: Neo4jStore, graph: View, raw: Session) -> None:
    ids = f"MATCH (:{graph.name})-[r]->(t) WHERE t.code = '11' RETURN elementId(r)"
    store.apply(graph, [Put("k", None, STAMP, rule(["11", "26"]))])
    before = raw.run(ids).values()
    store.apply(graph, [Put("k", held(store, graph), LATER, rule(["11", "41"]))])
    assert raw.run(ids).values() == before


def test_relations_that_somebody_else_made_of_our_types_are_replaced(
    store: Neo4jStore, graph: View, raw: Session
) -> None:
    store.apply(graph, [Put("k", None, STAMP, rule(["11"]))])
    for code in ("'99'", "null", "7"):
        raw.run(
            f"MATCH (n:{graph.name}) CREATE (n)-[:FOR]->(:{graph.edges[0].label} {{code: {code}}})"
        ).consume()
    store.apply(graph, [Put("k", held(store, graph), LATER, rule(["11"]))])
    assert related(raw, graph) == [["ISSUED_BY", "Office", "중기부"], ["FOR", "Region", "11"]]


def test_removing_a_row_leaves_the_shared_nodes_and_other_rows(
    store: Neo4jStore, graph: View, raw: Session
) -> None:
    store.apply(graph, [Put(key, None, STAMP, rule(["11", "26"])) for key in ("k", "other")])
    raw.run(f"MATCH (n:{graph.name} {{_key: 'k'}}) CREATE (:{note(graph)})-[:ABOUT]->(n)").consume()
    assert store.apply(graph, [Remove("k", held(store, graph))]) == [Applied()]
    assert names_of(raw, graph.edges[0].label) == ["11", "26"]
    assert store.read(graph, ["k", "other"])["other"].body == rule(["11", "26"])
    alone = raw.run(f"MATCH (n:{note(graph)}) WHERE NOT (n)--() RETURN count(n)").single(strict=True)
    assert alone[0] == 1


def test_restamping_leaves_the_relations(store: Neo4jStore, graph: View) -> None:
    store.apply(graph, [Put("k", None, STAMP, rule(["11"]))])
    assert store.apply(graph, [Restamp("k", held(store, graph), replace(LATER, xid=None))]) == [Applied()]
    record = store.read(graph, ["k"])["k"]
    assert (record.stamp, record.body) == (replace(LATER, xid=None), rule(["11"]))


def test_a_write_that_loses_changes_no_relation(store: Neo4jStore, graph: View, raw: Session) -> None:
    store.apply(graph, [Put("k", None, STAMP, rule(["11"]))])
    before = held(store, graph)
    store.apply(graph, [Restamp("k", before, LATER)])
    for late in (Put("k", before, LATER, rule(["26"])), Put("k", None, LATER, rule(["26"]))):
        assert store.apply(graph, [late]) == [LostRace()]
    assert related(raw, graph) == [["ISSUED_BY", "Office", "중기부"], ["FOR", "Region", "11"]]


# rows that are hubs


@pytest.fixture
def hub(suite_hub: View, raw: Session, store: Neo4jStore) -> Iterator[View]:
    store.ensure(suite_hub)
    yield from emptied(raw, suite_hub)


@pytest.fixture
def link(hub: View, raw: Session, store: Neo4jStore) -> Iterator[View]:
    """Rows that relate to rows of `hub`."""
    view = View("neo4j", f"Link_{hub.name}", {}, edges=(Edge("doc", "OF", str(hub.hub), "_id"),))
    store.ensure(view)
    yield from emptied(raw, view)
    for _ in with_constraints(raw, view):
        pass


def linked(raw: Session, hub: View, link: View) -> list[list[Any]]:
    """Key of each link that leads to a row's node, and the row's title."""
    found = raw.run(f"MATCH (l:{link.name})-[:OF]->(d:{hub.name}) RETURN l._key AS l, d.title ORDER BY l")
    return found.values()


def nodes(raw: Session, hub: View) -> list[list[Any]]:
    """Labels and properties of the hubs."""
    found = raw.run(f"MATCH (n:{hub.hub}) RETURN size(labels(n)), properties(n)._id, n._key ORDER BY n._id")
    return found.values()


def test_a_relation_waits_neither_for_its_row_nor_goes_with_it(
    store: Neo4jStore, hub: View, link: View, raw: Session
) -> None:
    assert store.apply(link, [Put("a", None, STAMP, {"doc": ["k"]})]) == [Applied()]
    assert (store.stamps(hub, ["k"]), list(store.scan(hub)), store.count(hub)) == ({}, [], 0)
    assert linked(raw, hub, link) == []

    assert store.apply(hub, [put()]) == [Applied()]
    assert store.read(hub, ["k"])["k"].body == body()
    assert linked(raw, hub, link) == [["a", body()["title"]]]

    assert store.apply(hub, [Remove("k", held(store, hub))]) == [Applied()]
    assert (list(store.scan(hub)), linked(raw, hub, link)) == ([], [])
    assert nodes(raw, hub) == [[1, "k", None]]
    assert names_of(raw, hub.edges[0].label) == ["11", "26"]
    left = raw.run(f"MATCH (n:{hub.hub}) RETURN COUNT {{(n)-->()}}, COUNT {{(n)<--()}}").values()
    assert left == [[0, 1]]

    assert store.apply(hub, [put(stamp=LATER, title="wieder da")]) == [Applied()]
    assert linked(raw, hub, link) == [["a", "wieder da"]]


def test_a_node_that_somebody_else_put_under_the_label_goes_altogether(
    store: Neo4jStore, hub: View, raw: Session
) -> None:
    raw.run(f"CREATE (:{hub.name} {{_key: 'x', _version: 1, _seen: 1, _fp: 'f', _id: 'y'}})").consume()
    assert store.apply(hub, [Remove("x", held(store, hub, "x"))]) == [Applied()]
    assert raw.run("MATCH (n {_id: 'y'}) RETURN count(n)").single(strict=True)[0] == 0


@pytest.mark.parametrize(
    "harm",
    [
        "REMOVE n:{hub.name}",
        "REMOVE n._key",
        "SET n._key = 'another'",
        "REMOVE n:{hub.hub}",
        "REMOVE n._id",
        "SET n._id = 'another'",
        "REMOVE n:{hub.hub}, n._id CREATE (:{hub.hub} {{_id: 'k'}})<-[:OF]-(:{link.name} {{_key: 'b'}})",
    ],
)
def test_a_node_that_is_no_longer_what_its_view_says_is_seen_and_put_right(
    store: Neo4jStore, hub: View, link: View, raw: Session, harm: str
) -> None:
    store.apply(link, [Put("a", None, STAMP, {"doc": ["k"]})])
    store.apply(hub, [put()])
    raw.run(f"MATCH (n:{hub.name}) {harm.format(hub=hub, link=link)}").consume()
    found = store.stamps(hub, ["k"]).get("k")
    assert found is None or found.stamp == UNREADABLE
    assert all(key == "another" or stamp == UNREADABLE for key, stamp in store.scan(hub))
    if found:
        assert store.read(hub, ["k"])["k"].stamp == UNREADABLE
    assert store.apply(hub, [put(stamp=LATER, expected=found)]) == [Applied()]
    assert store.stamps(hub, ["k"])["k"].stamp == LATER
    assert store.read(hub, ["k"])["k"].body == body()
    if not store.read(link, ["a"])["a"].body["doc"]:
        store.apply(link, [Put("a", held(store, link, "a"), LATER, {"doc": ["k"]})])
    assert ["a", body()["title"]] in linked(raw, hub, link)
    assert [key for _, key, mine in nodes(raw, hub) if mine] == ["k"]


def test_rows_come_and_go_while_others_relate_to_them(
    store: Neo4jStore, hub: View, link: View, raw: Session
) -> None:
    keys = [f"k{n}" for n in range(5)]

    def write(thread: int) -> set[Outcome]:
        outcomes: set[Outcome] = set()
        for n in range(20):
            key = keys[(thread + n) % len(keys)]
            found = store.stamps(hub, [key]).get(key)
            change: Write = Remove(key, found) if found and n % 2 else put(key, Stamp(n, 0, None, "f"), found)
            outcomes |= set(store.apply(hub, [change]))
        return outcomes

    def relate(thread: int) -> set[Outcome]:
        return {
            outcome
            for n in range(20)
            for outcome in store.apply(link, [Put(f"{thread}-{n}", None, STAMP, {"doc": keys})])
        }

    with ThreadPoolExecutor(8) as threads:
        writers = [threads.submit(write, thread) for thread in range(4)]
        others = [threads.submit(relate, thread) for thread in range(4)]
        assert set.union(*(each.result() for each in writers)) <= {Applied(), LostRace()}
        assert set.union(*(each.result() for each in others)) == {Applied()}
    assert [key for _, key, _ in nodes(raw, hub)] == keys
    relations = raw.run(f"MATCH (:{link.name})-[r:OF]->(:{hub.hub}) RETURN count(r)").single(strict=True)[0]
    assert relations == 4 * 20 * len(keys)
    there = {key: record.body for key, record in store.read(hub, keys).items()}
    assert there == dict.fromkeys(there, body())
    assert {key for _, key, mine in nodes(raw, hub) if mine} == there.keys()


# writers at the same time


def bring(store: Neo4jStore, view: View, wanted: dict[str, dict[str, Any]], version: int) -> None:
    keys = list(wanted)
    while keys:
        found = store.stamps(view, keys)
        stamp = Stamp(version, version, None, "f")
        outcomes = store.apply(view, [Put(key, found.get(key), stamp, wanted[key]) for key in keys])
        assert not any(isinstance(outcome, Refused) for outcome in outcomes)
        keys = [key for key, outcome in zip(keys, outcomes, strict=True) if outcome == LostRace()]


def test_writers_of_different_rows_share_nodes_without_losing_anything(
    store: Neo4jStore, graph: View, raw: Session
) -> None:
    def row(seed: int) -> dict[str, Any]:
        regions = sorted({f"{seed * step % 17:02}" for step in (1, 5, 7, 11)})
        industries = sorted({f"{seed * step % 41:02}" for step in (3, 13, 23)})
        return rule(regions, industries, f"office {seed % 5}")

    def write(thread: int) -> dict[str, dict[str, Any]]:
        for version in range(1, 4):
            wanted = {f"{thread}-{n}": row(thread * 7 + version * 31 + n) for n in range(50)}
            bring(store, graph, wanted, version)
        return wanted

    with ThreadPoolExecutor(8) as threads:
        wanted = {key: row for rows in threads.map(write, range(8)) for key, row in rows.items()}
    assert {key: record.body for key, record in store.read(graph, list(wanted)).items()} == wanted
    assert names_of(raw, graph.edges[0].label) == [f"{code:02}" for code in range(17)]
    assert names_of(raw, graph.edges[1].label) == [f"{code:02}" for code in range(41)]


def test_every_applied_write_saw_the_one_before_it(store: Neo4jStore, view: View) -> None:
    """Each adds one to what it had read: a write over an unseen one would leave the sum short."""

    def count(_: int) -> int:
        applied = 0
        while applied < 10:
            found = store.stamps(view, ["k"]).get("k")
            version = found.stamp.version + 1 if found else 1
            stamp = Stamp(version, 0, None, "f")
            write: Write = put("k", stamp, found)
            if found and version % 3 == 0:
                write = Restamp("k", found, stamp)
            applied += store.apply(view, [write]) == [Applied()]
        return applied

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(count, range(8))) == held(store, view).stamp.version


def test_writers_who_create_and_remove_the_same_row_only_lose_races(
    store: Neo4jStore, graph: View, raw: Session
) -> None:
    def write(thread: int) -> set[Outcome]:
        outcomes: set[Outcome] = set()
        for n in range(15):
            found = store.stamps(graph, ["k"]).get("k")
            stamp = Stamp(thread * 100 + n, 0, None, "f")
            change: Write = Put("k", found, stamp, rule([str(thread)]))
            if found and n % 2:
                change = Remove("k", found)
            outcomes |= set(store.apply(graph, [change]))
        return outcomes

    with ThreadPoolExecutor(8) as threads:
        assert set.union(*threads.map(write, range(8))) <= {Applied(), LostRace()}
    assert raw.run(f"MATCH (n:{graph.name}) RETURN count(n)").single(strict=True)[0] <= 1


def test_several_processes_may_ensure_at_the_same_time(store: Neo4jStore, graph: View, raw: Session) -> None:
    for _ in with_constraints(raw, graph):
        pass
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: store.ensure(graph), range(4)))
    found = raw.run(
        "SHOW CONSTRAINTS YIELD labelsOrTypes AS l, properties AS p WHERE any(x IN l WHERE x IN $labels) "
        "RETURN l[0], p[0]",
        labels=labels(graph),
    )
    wanted = [[graph.name, "_key"], *([edge.label, edge.name] for edge in graph.edges)]
    assert sorted(found.values()) == sorted(wanted)


# what readers find


def test_fields_are_of_the_databases_own_types(store: Neo4jStore, view: View, raw: Session) -> None:
    store.apply(view, [put()])
    types = raw.run(
        f"MATCH (n:{view.name}) UNWIND keys(n) AS name RETURN name, valueType(n[name]) ORDER BY name"
    )
    assert {name: kind.removesuffix(" NOT NULL") for name, kind in types.values()} == {
        "_fp": "STRING",
        "_key": "STRING",
        "_seen": "INTEGER",
        "_version": "INTEGER",
        "_xid": "INTEGER",
        "active": "BOOLEAN",
        "amount": "INTEGER",
        "changed": "ZONED DATETIME",
        "link": "STRING",
        "name": "STRING",
        "rate": "FLOAT",
        "regions": "LIST<STRING NOT NULL>",
        "starts": "DATE",
        "title": "STRING",
    }


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("amount", [2**63 - 1, -(2**63), 0]),
        ("rate", [0.1, -0.0, 1e308, 5e-324]),
        ("starts", ["0001-01-01", "9999-12-31", "1582-10-10", "2024-02-29"]),
        (
            "changed",
            ["0001-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999999Z", "1970-01-01T00:00:00.000000Z"],
        ),
        ("regions", [["b", "a", "b", ""], ["🚀"]]),
        ("title", ["\0", "e\u0301 é", "\uffff🚀", "가" * 100_000]),
    ],
)
def test_extreme_values_are_read_back_as_they_were_written(
    store: Neo4jStore, view: View, field: str, values: list[object]
) -> None:
    puts = [Put(f"{n}", None, STAMP, body() | {field: value}) for n, value in enumerate(values)]
    assert store.apply(view, puts) == [Applied()] * len(values)
    records = store.read(view, [write.key for write in puts])
    assert [repr(records[write.key].body[field]) for write in puts] == [repr(value) for value in values]


def test_names_in_statements_are_taken_literally(raw: Session) -> None:
    @effort(max_examples=50, deadline=None)
    @given(st.text(min_size=1) | st.text(st.sampled_from("`\\u0065cC n가"), min_size=1))
    def check(name: str) -> None:
        assert list(raw.run(f"RETURN 1 AS {quote(name)}").keys()) == [name]

    check()


# scan


def test_a_scan_has_the_order_of_bytes_beyond_the_basic_plane_too(
    store: Neo4jStore, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UTF-16 puts 🚀 (surrogates, U+D83D) before U+E000 to U+FFFF; UTF-8 puts it after."""
    parts = [
        "",
        "a",
        "~",
        "é",
        "\ud7a3",
        "\ue000",
        "\uf8ff",
        "\uffee",
        "\uffff",
        "\U00010000",
        "🚀",
        "\U0010ffff",
    ]
    keys = [first + second for first in parts[1:] for second in parts]
    assert sorted(keys, key=str.encode) != sorted(keys, key=lambda key: key.encode("utf-16-be"))
    store.apply(view, [put(key) for key in keys])
    monkeypatch.setattr(adapter, "PAGE", 5)
    assert [key for key, _ in store.scan(view)] == sorted(keys, key=str.encode)


def test_a_page_is_read_from_the_index_in_its_order(store: Neo4jStore, view: View, raw: Session) -> None:
    def operators(plan: dict[str, Any]) -> list[str]:
        children = [name for child in plan.get("children", []) for name in operators(child)]
        return [str(plan["operatorType"]).partition("@")[0], *children]

    for filling in (300, 0):  # planned for an empty label, and for a full one
        summary = raw.run(f"EXPLAIN {statements(view).page}", after="", size=2).consume()
        assert summary.plan is not None
        *above, leaf = operators(summary.plan)
        assert leaf == "NodeUniqueIndexSeekByRange"
        assert set(above) <= {"ProduceResults", "Projection", "CacheProperties", "Limit", "EagerAggregation"}
        store.apply(view, [put(f"{n}") for n in range(filling)])
        raw.run("CALL db.clearQueryCaches()").consume()


def test_a_scan_gives_every_key_that_stays_once_while_others_come_and_go(
    store: Neo4jStore, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "PAGE", 10)
    stay = [f"{n:03}-stays" for n in range(100)]
    store.apply(view, [put(key) for key in stay])
    scanned = []
    for n, (key, _) in enumerate(store.scan(view)):
        scanned.append(key)
        store.apply(view, [put(f"{99 - n % 100:03}-comes {n}")])
        if n:
            gone = f"{99 - (n - 1) % 100:03}-comes {n - 1}"
            store.apply(view, [Remove(gone, held(store, view, gone))])
    assert [key for key in scanned if key.endswith("stays")] == stay
    assert len(set(scanned)) == len(scanned)


# what cannot be stored


def test_a_value_of_the_wrong_type_is_refused_with_its_field(store: Neo4jStore, view: View) -> None:
    outcomes = store.apply(view, [put("bad", amount="much"), put("good")])
    assert outcomes == [Refused("amount: 'much' is not an integer of 64 bits"), Applied()]
    assert set(store.stamps(view, ["bad", "good"])) == {"good"}


def test_an_index_holds_what_is_not_refused_for_its_size(store: Neo4jStore, graph: View) -> None:
    size = MAX_INDEXED_BYTES
    outcomes = store.apply(
        graph,
        [
            Put("x" * size, None, STAMP, rule(["r" * size])),
            Put("x" * (size + 1), None, STAMP, rule([])),
            Put("k", None, STAMP, rule(["11", "r" * (size + 1)])),
        ],
    )
    assert outcomes == [
        Applied(),
        Refused("key: has 8001 bytes; 1 to 8000 can be indexed"),
        Refused("regions: has 8001 bytes; 1 to 8000 can be indexed"),
    ]
    assert store.read(graph, ["x" * size])["x" * size].body == rule(["r" * size])


def test_a_row_that_only_the_server_refuses_is_found_among_the_others(
    store: Neo4jStore, view: View, raw: Session
) -> None:
    name = f"index_{uuid.uuid4().hex}"
    raw.run(f"CREATE INDEX {name} FOR (n:{view.name}) ON (n.link)").consume()
    raw.run("CALL db.awaitIndexes()").consume()
    try:
        puts = [put(f"{n}", link="x" * (9_000 if n in (3, 70) else 10)) for n in range(100)]
        outcomes = store.apply(view, puts)
    finally:
        raw.run(f"DROP INDEX {name}").consume()
    assert [n for n, outcome in enumerate(outcomes) if outcome != Applied()] == [3, 70]
    assert isinstance(outcomes[3], Refused)
    assert "too large to index" in outcomes[3].reason
    assert len(store.stamps(view, [write.key for write in puts])) == 98


def test_a_row_that_breaks_somebody_elses_constraint_is_refused(
    store: Neo4jStore, view: View, raw: Session
) -> None:
    name = f"constraint_{uuid.uuid4().hex}"
    raw.run(f"CREATE CONSTRAINT {name} FOR (n:{view.name}) REQUIRE n.link IS UNIQUE").consume()
    try:
        outcomes = store.apply(view, [put("a", link="1"), put("b", link="1"), put("c", link="2")])
    finally:
        raw.run(f"DROP CONSTRAINT {name}").consume()
    assert outcomes[0] == outcomes[2] == Applied()
    assert isinstance(outcomes[1], Refused)
    assert "already exists" in outcomes[1].reason


def test_a_batch_of_large_rows_passes(store: Neo4jStore, view: View) -> None:
    large = "가" * 20_000
    puts = [put(f"{n}", title=large) for n in range(500)]
    assert store.apply(view, puts) == [Applied()] * 500
    assert store.read(view, ["499"])["499"].body["title"] == large


# what somebody else wrote


@pytest.mark.parametrize(
    "properties",
    [
        "",
        ", _version: 'text', _seen: 1, _fp: 'f'",
        ", _version: 0.0 / 0.0, _seen: 1, _fp: 'f'",
        ", _version: [1, 2], _seen: point({x: 1, y: 2}), _fp: date()",
        ", _version: 1, _seen: 1, _xid: true, _fp: 'f', name: 7, starts: 'soon', surprise: 1",
    ],
)
def test_a_node_that_somebody_else_wrote_is_overwritten_by_the_next_change(
    store: Neo4jStore, view: View, raw: Session, properties: str
) -> None:
    store.apply(view, [put("ours")])
    raw.run(f"CREATE (:{view.name} {{_key: 'k'{properties}}})").consume()
    found = store.stamps(view, ["k", "ours"])
    assert {key: value.stamp for key, value in found.items()} == {"k": UNREADABLE, "ours": STAMP}
    assert store.read(view, ["k"])["k"].stamp == UNREADABLE
    assert list(store.scan(view)) == [("k", UNREADABLE), ("ours", STAMP)]
    assert store.apply(view, [put("k", LATER), put("ours", LATER, found["ours"])]) == [LostRace(), Applied()]
    assert store.apply(view, [put("k", LATER, found["k"])]) == [Applied()]
    assert store.read(view, ["k"])["k"].body == body()
    assert raw.run(f"MATCH (n:{view.name} {{_key: 'k'}}) RETURN n.surprise").single(strict=True)[0] is None


def test_nodes_without_a_key_are_none_of_ours(store: Neo4jStore, view: View, raw: Session) -> None:
    raw.run(f"CREATE (:{view.name}), (:{view.name} {{_key: 7}})").consume()
    store.apply(view, [put()])
    assert list(store.scan(view)) == [("k", STAMP)]


# a server that is not as it should be


def test_an_index_in_the_way_of_a_constraint_is_a_misconfiguration(store: Neo4jStore, raw: Session) -> None:
    other = View("neo4j", f"Test_{uuid.uuid4().hex}", VIEW_FIELDS)
    raw.run(f"CREATE INDEX {other.name} FOR (n:{other.name}) ON (n._key)").consume()
    try:
        with pytest.raises(Misconfigured, match="already exists an index") as caught:
            store.ensure(other)
    finally:
        raw.run(f"DROP INDEX {other.name}").consume()
    assert "SHOW INDEXES" in str(caught.value.hint)


def test_nodes_of_one_key_are_a_misconfiguration(store: Neo4jStore, raw: Session) -> None:
    other = View("neo4j", f"Test_{uuid.uuid4().hex}", VIEW_FIELDS)
    raw.run(f"CREATE (:{other.name} {{_key: 'k'}}), (:{other.name} {{_key: 'k'}})").consume()
    try:
        with pytest.raises(Misconfigured, match="_key"):
            store.ensure(other)
    finally:
        raw.run(f"MATCH (n:{other.name}) DELETE n").consume()


def test_a_missing_constraint_is_a_misconfiguration(store: Neo4jStore) -> None:
    absent = View("neo4j", f"Absent_{uuid.uuid4().hex}", VIEW_FIELDS)
    for call in (
        lambda: store.stamps(absent, ["k"]),
        lambda: store.read(absent, ["k"]),
        lambda: list(store.scan(absent)),
        lambda: store.apply(absent, [put("k", LATER, Held(STAMP, ""))]),
        lambda: store.apply(absent, [Remove("k", Held(STAMP, ""))]),
    ):
        with pytest.raises(Misconfigured, match="constraint is missing") as caught:
            call()
        assert "restart the processor" in str(caught.value.hint)


def test_a_wrong_password_names_the_settings(settings: Settings, view: View) -> None:
    # a user of its own: after three failures the server refuses a user for a while
    wrong = {"user": f"nobody-{uuid.uuid4().hex}", "password": SecretStr("wrong")}
    store = Neo4jStore(settings.neo4j.model_copy(update=wrong))
    with pytest.raises(Misconfigured, match="Unauthorized") as caught:
        store.stamps(view, ["k"])
    assert "NEO4J_USER and NEO4J_PASSWORD" in str(caught.value.hint)
    store.close()


def test_a_missing_database_names_the_setting(settings: Settings) -> None:
    store = Neo4jStore(settings.neo4j.model_copy(update={"database": "absent"}))
    with pytest.raises(Misconfigured, match="DatabaseNotFound") as caught:
        store.ping()
    assert "NEO4J_DATABASE" in str(caught.value.hint)
    store.close()


def test_a_server_that_is_away_is_unavailable_and_names_the_command(settings: Settings, view: View) -> None:
    away = Neo4jStore(settings.neo4j.model_copy(update={"uri": "bolt://127.0.0.1:9", "timeout_seconds": 0.5}))
    for call in (away.ping, lambda: away.stamps(view, ["k"]), lambda: away.apply(view, [put()])):
        with pytest.raises(Unavailable, match="does not answer") as caught:
            call()
        assert "aegis stack up neo4j" in str(caught.value.hint)
    away.close()


def test_a_call_that_is_given_up_leaves_nothing_behind(
    settings: Settings, store: Neo4jStore, view: View, raw: Session
) -> None:
    store.apply(view, [put()])
    before = held(store, view)
    hasty = Neo4jStore(settings.neo4j.model_copy(update={"timeout_seconds": 2}))
    hasty.ping()
    with raw.begin_transaction() as other:
        other.run(f"MATCH (n:{view.name}) SET n.name = 'locked'").consume()
        with pytest.raises(Unavailable, match="neo4j"):
            hasty.apply(view, [put("k", LATER, before), put("new")])
        other.rollback()
    hasty.close()
    waiting = (
        "SHOW TRANSACTIONS YIELD currentQuery AS q WHERE q CONTAINS $name AND NOT q CONTAINS 'SHOW' RETURN q"
    )
    until_ended = Retrying(
        retry=retry_if_result(bool), wait=wait_fixed(0.05), stop=stop_after_delay(30), reraise=True
    )
    until_ended(lambda: raw.run(waiting, name=view.name).values())
    assert {key: found.stamp for key, found in store.stamps(view, ["k", "new"]).items()} == {"k": STAMP}
    assert store.apply(view, [put("k", LATER, before), put("new")]) == [Applied()] * 2


def test_a_closed_store_opens_again(store: Neo4jStore) -> None:
    store.close()
    store.close()
    store.ping()


QUIET = """
from processor.errors import StoreError
from processor.settings import load_settings
from processor.stores.neo4j import Neo4jStore
from processor.tables.base import View

view, neo4j = View("neo4j", "Nobody", {}), load_settings().neo4j
away = neo4j.model_copy(update={"uri": "bolt://127.0.0.1:9", "timeout_seconds": 0.2})
for store in (Neo4jStore(neo4j), Neo4jStore(away)):
    for call in (store.count, lambda view: store.stamps(view, ["k"])):
        try:
            call(view)
        except StoreError as error:
            print(error)
"""


def test_nothing_of_the_driver_reaches_the_terminal() -> None:
    """Not even from a program that never closes its connections."""
    result = subprocess.run(
        [sys.executable, "-c", QUIET], capture_output=True, text=True, check=True, timeout=60
    )
    assert "constraint is missing" in result.stdout
    assert "does not answer" in result.stdout
    assert result.stderr == ""
