"""What the graph's adapter sends: names are quoted, values checked, errors told apart; no server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neo4j.exceptions import ConfigurationError, Neo4jError, ServiceUnavailable
from neo4j.time import Date, DateTime

from processor.errors import ConfigurationError as WrongSetting
from processor.errors import Misconfigured, RowRejected, Unavailable
from processor.settings import Neo4jSettings, read_block
from processor.stamp import UNREADABLE, Stamp
from processor.stores.base import Held, Put, Remove, Restamp, Write
from processor.stores.bolt import Conflict, Indigestible, OverLimit, TooLarge, make_driver, meaning
from processor.stores.cypher import quote, statements
from processor.stores.neo4j import steps
from processor.stores.neo4j_values import MAX_INDEXED_BYTES, record_of, row_of, stamp_of
from processor.tables.base import Edge, View
from tests.conformance import VIEW_FIELDS, body

NONE: Mapping[str, object] = MappingProxyType({})
STAMP = Stamp(1, 2, None, "f")
SETTINGS = Neo4jSettings.model_validate({"uri": "bolt://graph:7687"})
IN_REGION = Edge("target_regions", "IN_REGION", "Region", "code")
VIEW = View("neo4j", "Policy", VIEW_FIELDS, edges=(IN_REGION, Edge("by", "ISSUED_BY", "Office", "name")))


def put(changed: Mapping[str, object] = NONE, key: str = "k") -> Put:
    return Put(key, None, STAMP, {**body(), "target_regions": ["11"], "by": [], **changed})


@given(st.text(st.sampled_from("`\\u0065cC n가")))
def test_a_quoted_name_ends_where_it_ends(name: str) -> None:
    read = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), quote(name)[1:-1])
    assert "`" not in read.replace("``", "")
    assert read.replace("``", "`") == name


def test_no_statement_holds_a_name_unquoted() -> None:
    names = ["la`bel", "ty`pe", "tar`get", "na`me"]
    label, *edge = names
    texts = statements(View("neo4j", label, {}, edges=(Edge("column", *edge),)))
    for name in names:
        found = [
            text.replace(quote(name), "") for text in (*texts.constraints, texts.targets or "", texts.create)
        ]
        assert not any(name in text for text in found)
        assert quote(name) in "".join([*texts.constraints, texts.replace])


def test_a_batch_is_one_statement_per_kind_of_write_and_one_for_shared_nodes() -> None:
    held = Held(STAMP, "token")
    writes: list[Write] = []
    for n in range(125):
        writes += [put(key=f"a{n}"), Put(f"b{n}", held, STAMP, put().body)]
        writes += [Restamp(f"c{n}", held, STAMP), Remove(f"d{n}", held)]
    sent = steps(VIEW, [(write, row_of(VIEW, write)) for write in writes])
    assert [len(parameters.get("rows", ())) for _, parameters in sent] == [0, 125, 125, 125, 125]


def test_shared_nodes_are_named_once_and_in_order() -> None:
    puts = [put({"target_regions": ["26", "11"]}, "a"), put({"target_regions": ["11", "41"]}, "b")]
    (_, shared), *_ = steps(VIEW, [(write, row_of(VIEW, write)) for write in puts])
    assert shared["names"][0] == ["11", "26", "41"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 1),
        ("name", "half \ud800"),
        ("title", ["a list"]),
        ("regions", "no list"),
        ("regions", ["a", None]),
        ("amount", 2**63),
        ("amount", -(2**63) - 1),
        ("amount", 1.0),
        ("amount", True),
        ("rate", "much"),
        ("rate", True),
        ("starts", "2025-02-30"),
        ("starts", 20250101),
        ("changed", "2025-01-01"),
        ("changed", "2025-01-01T00:00:00"),
        ("changed", "2025-01-01T09:00:00+09:00"),
        ("active", 1),
        ("surprise", 1),
        ("target_regions", None),
        ("target_regions", ["가" * (MAX_INDEXED_BYTES // 3 + 1)]),
        ("target_regions", [""]),
        ("by", [7]),
    ],
)
def test_a_value_that_neo4j_cannot_hold_is_refused_with_its_field(field: str, value: object) -> None:
    with pytest.raises(RowRejected) as caught:
        row_of(VIEW, put({field: value}))
    assert caught.value.field == field


@pytest.mark.parametrize("key", ["", "x" * (MAX_INDEXED_BYTES + 1), "\udfff"])
def test_a_key_that_no_index_holds_is_refused(key: str) -> None:
    with pytest.raises(RowRejected, match="key: "):
        row_of(VIEW, put(key=key))


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1])
def test_integers_reach_as_far_as_the_databases(value: int) -> None:
    assert row_of(VIEW, put({"amount": value}))["properties"]["amount"] == value


def test_null_is_an_absent_property() -> None:
    properties = row_of(VIEW, put(dict.fromkeys(VIEW_FIELDS)))["properties"]
    assert properties.keys() == {"_key", "_version", "_seen", "_xid", "_fp"}


@pytest.mark.parametrize(
    ("values", "stamp"),
    [
        ([1, 2, 3, "f"], Stamp(1, 2, 3, "f")),
        ([1, 2, None, ""], Stamp(1, 2, None, "")),
        ([None, None, None, None], UNREADABLE),
        (["1", 2, 3, "f"], UNREADABLE),
        ([1, 2.0, 3, "f"], UNREADABLE),
        ([True, 2, 3, "f"], UNREADABLE),
        ([1, 2, False, "f"], UNREADABLE),
        ([1, 2, 3, None], UNREADABLE),
        ([1, 2, 3, ["f"]], UNREADABLE),
    ],
)
def test_a_stamp_is_ours_or_unreadable(values: list[object], stamp: Stamp) -> None:
    assert stamp_of(values) == stamp


def test_what_somebody_else_wrote_is_shown_as_it_is() -> None:
    properties = {"starts": Date(12, 1, 2), "changed": DateTime(12, 1, 2), "amount": "much", "more": 1}
    record = record_of(VIEW, properties, [["b", None, 7, "a", "b"], []])
    assert record.stamp == UNREADABLE
    assert record.body == {
        **dict.fromkeys(VIEW_FIELDS),
        "starts": "0012-01-02",
        "changed": "0012-01-02T00:00:00.000000Z",
        "amount": "much",
        "target_regions": ["a", "b"],
        "by": [],
    }


def answer(code: str, message: str = "reason") -> Neo4jError:
    return Neo4jError._hydrate_neo4j(code=code, message=message)


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (ServiceUnavailable("refused"), Unavailable, "aegis stack up neo4j"),
        (TimeoutError(), Unavailable, "NEO4J_URI"),
        (OSError("reset"), Unavailable, "NEO4J_URI"),
        (answer("Neo.TransientError.Transaction.DeadlockDetected"), Unavailable, None),
        (answer("Neo.TransientError.Database.DatabaseUnavailable"), Unavailable, None),
        (answer("Neo.ClientError.Cluster.NotALeader"), Unavailable, None),
        (answer("Neo.ClientError.General.ForbiddenOnReadOnlyDatabase"), Unavailable, None),
        (answer("Neo.ClientError.Transaction.TransactionTimedOutClientConfiguration"), Unavailable, None),
        (answer("Neo.DatabaseError.Statement.ExecutionFailed", "no space left on device"), Unavailable, None),
        (answer("Neo.DatabaseError.Transaction.TransactionCommitFailed"), Unavailable, None),
        (answer("Neo.TransientError.General.MemoryPoolOutOfMemoryError"), TooLarge, "dbms.memory"),
        (
            answer(
                "Neo.TransientError.General.MemoryPoolOutOfMemoryError", "db.memory.transaction.max threshold"
            ),
            OverLimit,
            "raise the server's db.memory.transaction.max",
        ),
        (answer("Neo.ClientError.General.WriteOnReadOnlyAccessDatabase"), Unavailable, None),
        (
            answer("Neo.DatabaseError.Transaction.TransactionStartFailed", "and needs to be restarted"),
            Unavailable,
            "restart the server",
        ),
        (answer("Neo.ClientError.Security.Unauthorized"), Misconfigured, "NEO4J_USER and NEO4J_PASSWORD"),
        (answer("Neo.ClientError.Security.Forbidden"), Misconfigured, "NEO4J_USER and NEO4J_PASSWORD"),
        (answer("Neo.ClientError.Database.DatabaseNotFound"), Misconfigured, "NEO4J_DATABASE"),
        (answer("Neo.ClientError.Schema.IndexAlreadyExists"), Misconfigured, "SHOW INDEXES"),
        (answer("Neo.DatabaseError.Schema.ConstraintCreationFailed"), Misconfigured, "SHOW CONSTRAINTS"),
        (answer("Neo.ClientError.Statement.SyntaxError"), Misconfigured, "5.7"),
        (ConfigurationError("bad scheme"), Misconfigured, "NEO4J_URI"),
    ],
    ids=lambda value: getattr(value, "code", None) or type(value).__name__,
)
def test_an_error_tells_whether_waiting_or_an_operator_helps(
    error: Exception, kind: type[Unavailable], hint: str | None
) -> None:
    found = meaning(error, SETTINGS)
    assert type(found) is kind
    assert hint is None or hint in str(found.hint)


def test_a_call_that_took_too_long_says_so() -> None:
    assert str(meaning(TimeoutError(), SETTINGS)).endswith("bolt://graph:7687 does not answer: timeout")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answer("Neo.ClientError.Statement.TypeError"), Indigestible),
        (answer("Neo.ClientError.Schema.ConstraintValidationFailed"), Indigestible),
        (answer("Neo.DatabaseError.Statement.ExecutionFailed", "value is too large to index"), Indigestible),
        (answer("Neo.ClientError.Statement.EntityNotFound"), Conflict),
    ],
    ids=lambda value: getattr(value, "code", None) or value.__name__,
)
def test_an_error_tells_whether_a_value_or_another_writer_is_in_the_way(
    error: Exception, kind: type[Exception]
) -> None:
    assert type(meaning(error, SETTINGS)) is kind


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NEO4J_URI", "http://graph:7474"),
        ("NEO4J_URI", "bolt://graph:port"),
        ("NEO4J_URI", "bolt://neo4j:secret@graph:7687"),
        ("NEO4J_URI", "graph:7687"),
        ("NEO4J_DATABASE", ""),
        ("NEO4J_TIMEOUT_SECONDS", "0"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(WrongSetting, match=name):
        read_block(Neo4jSettings)


@pytest.mark.parametrize(
    "uri", ["bolt://graph", "neo4j+s://graph.example.org:7687", "bolt+ssc://[::1]:7687", "neo4j://a?region=b"]
)
def test_every_kind_of_address_is_taken(uri: str) -> None:
    assert Neo4jSettings.model_validate({"uri": uri}).uri == uri


def test_a_certificate_authority_makes_the_connection_encrypted(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    for settings, encrypted in (
        (SETTINGS, False),
        (SETTINGS.model_copy(update={"ca_file": tmp_path / "ca.pem"}), True),
    ):
        driver = make_driver(settings)
        assert driver.encrypted is encrypted
        asyncio.run(driver.close())


def test_two_ways_of_encrypting_contradict_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NEO4J_CA_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(WrongSetting, match="NEO4J_CA_FILE"):
        read_block(Neo4jSettings)
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("NEO4J_URI", "bolt+s://graph:7687")
    with pytest.raises(WrongSetting, match="NEO4J_CA_FILE goes with"):
        read_block(Neo4jSettings)
    monkeypatch.setenv("NEO4J_URI", "bolt://graph:7687")
    assert read_block(Neo4jSettings).ca_file == tmp_path / "ca.pem"
