"""A run as Prometheus reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.freshness import last_successes
from reconciler.history import Success
from reconciler.prometheus import write
from tests.unit import report_samples as samples

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
DAY = datetime(2026, 11, 21, tzinfo=UTC)


def read(path: Path) -> Samples:
    families = text_string_to_metric_families(path.read_text())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[f"aegis_reconcile_{name}", frozenset(labels.items())]


@pytest.fixture
def found(tmp_path: Path) -> Samples:
    page = samples.drift()
    write(tmp_path / "aegis.prom", page.report, page.successes, samples.ENDED)
    return read(tmp_path / "aegis.prom")


def test_when_the_run_ended_and_how(found: Samples) -> None:
    assert value(found, "last_run_timestamp_seconds") == samples.ENDED.timestamp()
    assert value(found, "exit_code") == 4


def test_every_number_of_every_part(found: Samples) -> None:
    for table, stores in samples.parts().items():
        for store, part in stores.items():
            counts, place = part.counts, {"table": table, "store": store}
            states = ("ok", "absent", "missing", "orphan", "stale", "corrupt_stamp", "dead_lettered")
            for state in (*states, "unverified", "repaired"):
                assert value(found, "records", state=state, **place) == getattr(counts, state)
            assert value(found, "scanned", side="source", **place) == counts.scanned_source
            assert value(found, "scanned", side="store", **place) == counts.scanned_store
            assert value(found, "seconds", **place) == counts.seconds


def test_the_last_success_of_shares_is_the_oldest_and_0_is_never(found: Samples) -> None:
    def at(table: str, store: str) -> float:
        return value(found, "last_success_timestamp_seconds", table=table, store=store)

    assert at("policies", "milvus") == (samples.ENDED - timedelta(hours=49)).timestamp()
    assert at("users", "neo4j") == samples.ENDED.timestamp()
    assert at("policies", "redis") == 0  # one of two shares
    assert at("business_rules", "neo4j") == 0


def test_a_table_that_this_run_left_out_keeps_its_last_success(tmp_path: Path) -> None:
    page = samples.consistent()
    others = [Success("users", "neo4j", "0/1", DAY, 1, "r")]
    write(tmp_path / "aegis.prom", page.report, [*page.successes, *others], samples.ENDED)
    found = read(tmp_path / "aegis.prom")
    assert value(found, "last_success_timestamp_seconds", table="users", store="neo4j") == DAY.timestamp()


def test_no_key_and_no_value_is_in_the_labels(found: Samples) -> None:
    labels: dict[str, set[str]] = {}
    for _, pairs in found:
        for name, text in pairs:
            labels.setdefault(name, set()).add(text)
    assert labels.keys() == {"table", "store", "state", "side"}
    assert labels["table"] == {"policies", "business_rules", "users"}
    assert labels["store"] == {"milvus", "neo4j", "elasticsearch", "redis"}


def test_the_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "aegis.prom"
    drift, consistent = samples.drift(), samples.consistent()
    write(path, drift.report, drift.successes, samples.ENDED)
    with path.open() as reader:  # a reader that had opened the old file goes on with it
        first = reader.readline()
        write(path, consistent.report, consistent.successes, samples.ENDED)
        old = first + reader.read()
    assert "business_rules" in old
    assert "business_rules" not in path.read_text()
    assert list(tmp_path.iterdir()) == [path]


def success(shard: str, days: int) -> Success:
    return Success("t", "s", shard, DAY + timedelta(days=days), 1, "r")


@pytest.mark.parametrize(
    ("successes", "days"),
    [
        ([("0/1", 3)], 3),
        ([("0/2", 3), ("1/2", 5)], 3),
        ([("0/2", 3)], None),
        ([("0/1", 1), ("0/3", 9), ("1/3", 9)], 1),
        ([("0/1", 4), ("0/2", 3), ("1/2", 9)], 4),
        ([("0/1", 1), ("0/2", 3), ("1/2", 9)], 3),
        ([], None),
    ],
)
def test_all_keys_were_right_when_the_newest_complete_set_began(
    successes: list[tuple[str, int]], days: int | None
) -> None:
    found = last_successes(success(*one) for one in successes)
    assert found == ({} if days is None else {("t", "s"): DAY + timedelta(days=days)})
