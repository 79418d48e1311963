"""`aegis reconcile check` as people and schedulers use it: its JSON, exit codes, and what a kill leaves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.refresh import refresh_topic
from processor.settings import Settings
from processor.tables import topic_of
from processor.tables.policies import POLICIES
from sql.models import ReconcilePart, ReconcileRepair, ReconcileSuccess
from tests.integration.conftest import ROOT, aegis
from tests.integration.faults import vandals
from tests.integration.path import (
    catch_up,
    delete,
    insert,
    joined,
    policy,
    processor_running,
    unique,
)
from tests.integration.records import ends

COUNTS = {
    "scanned_source",
    "scanned_store",
    "ok",
    "missing",
    "orphan",
    "stale",
    "unverified",
    "repaired",
    "deep_checked",
    "seconds",
}


@pytest.fixture(scope="module")
def prefix(pipeline: sa.Engine, settings: Settings) -> Iterator[str]:
    """Policies of this test, in all stores; the processor runs."""
    prefix = unique("reconcile")
    with processor_running():
        joined(settings)
        insert(pipeline, [policy(f"{prefix}-{n}") for n in range(20)])
        catch_up(pipeline, settings)
        yield prefix
        delete(pipeline, prefix)
        catch_up(pipeline, settings)


def check(*arguments: str, expect: int = 0) -> dict[str, Any]:
    done = aegis("reconcile", "check", "--json", "-", *arguments, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["exit_code"] == expect
    return found


def test_json_has_the_fields_that_scripts_rely_on(prefix: str, database: sa.Engine) -> None:
    found = check()
    assert found["schema_version"] == 1
    assert re.fullmatch(r"[0-9A-F]+/[0-9A-F]+", found["as_of_lsn"])
    assert {table: set(stores) for table, stores in found["tables"].items()} == {
        "policies": {"milvus", "neo4j", "elasticsearch", "redis"},
        "business_rules": {"neo4j", "redis"},
        "users": {"neo4j", "redis"},
        "documents": {"milvus", "neo4j", "elasticsearch"},
        "taxonomy_nodes": {"neo4j"},
        "doc_taxonomy": {"neo4j"},
    }
    for stores in found["tables"].values():
        for numbers in stores.values():
            assert numbers.keys() >= COUNTS
            assert numbers["scanned_source"] >= numbers["ok"]
    assert found["findings"] == []
    with database.connect() as connection:
        latest = connection.execute(sa.select(ReconcileSuccess.table_name, ReconcileSuccess.run_id)).all()
    assert {(table, found["run_id"]) for table in ("policies", "users")} <= {tuple(r) for r in latest}


def test_drift_is_told_with_its_key_and_age_and_the_second_run_keeps_the_age(
    prefix: str, settings: Settings, tmp_path: Path
) -> None:
    key = f"{prefix}-3"
    with vandals(settings) as harm:
        harm["elasticsearch"].remove(POLICIES.view("elasticsearch"), key)
    (first,) = check("--tables", "policies", expect=1)["findings"]
    assert first | {"first_seen": ""} == {
        "table": "policies",
        "store": "elasticsearch",
        "key": key,
        "kind": "missing",
        "first_seen": "",
    }
    report = tmp_path / "report.json"
    told = aegis("reconcile", "check", "--tables", "policies", "--json", str(report), check=False)
    assert told.returncode == 1
    assert f"missing: policies {key} in elasticsearch, since" in told.stdout
    assert re.search(r"drift as of [0-9A-F]+/[0-9A-F]+: 1 record is not as PostgreSQL has it", told.stdout)
    assert json.loads(report.read_text())["findings"] == [first]

    aegis("refresh", "policies", key)
    assert check("--tables", "policies")["findings"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--tables", "nothing"], 10, "no projected table 'nothing'"),
        (["--stores", "mysql"], 10, "no store 'mysql'"),
        (["--shard", "3/3"], 10, "is not i/n with i below n"),
        (["--max-seconds", "0"], 10, "--max-seconds"),
        (["--unknown"], 10, "No such option"),
    ],
)
def test_bad_options_are_told_before_anything_is_read(arguments: list[str], code: int, told: str) -> None:
    done = aegis("reconcile", "check", *arguments, check=False)
    assert done.returncode == code
    assert told in done.stderr


def started(*arguments: str) -> subprocess.Popen[bytes]:
    """A run that the caller ends."""
    aegis = Path(sys.executable).with_name("aegis")
    silent = subprocess.DEVNULL
    return subprocess.Popen([aegis, "reconcile", *arguments], cwd=ROOT, stdout=silent, stderr=silent)


def begun(database: sa.Engine, known: set[str]) -> str | None:
    """The run that began after `known` and has compared its first part once."""
    query = sa.select(ReconcilePart.run_id).where(
        ReconcilePart.run_id.not_in(known), ReconcilePart.counts["scanned_source"].as_integer() > 0
    )
    with database.connect() as connection:
        return connection.scalars(query).first()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_signal_ends_the_next_command_goes_on_with(
    prefix: str, database: sa.Engine, number: signal.Signals
) -> None:
    with database.connect() as connection:
        known = set(connection.scalars(sa.select(ReconcilePart.run_id)))
    slow = started("check", "--rows-per-second", "1")
    patiently = Retrying(
        retry=retry_if_result(lambda run: run is None), wait=wait_fixed(0.1), stop=stop_after_delay(60)
    )
    run = patiently(begun, database, known)
    other = aegis("reconcile", "check", check=False)
    assert (other.returncode, "another reconciler is at work" in other.stderr) == (5, True)
    slow.send_signal(number)
    assert slow.wait(30) == (4 if number is signal.SIGTERM else -number)

    found = check()
    assert found["run_id"] == run
    assert found["notes"][0] == f"continues run {run}"
    milvus = found["tables"]["policies"]["milvus"]
    assert milvus["scanned_source"] == milvus["scanned_store"] == milvus["ok"]


def repair(*arguments: str, expect: int) -> dict[str, Any]:
    done = aegis("reconcile", "repair", "--tables", "policies", "--json", "-", *arguments, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def repairs(database: sa.Engine, keys: list[str]) -> list[str]:
    query = sa.select(ReconcileRepair.key).where(ReconcileRepair.key.in_(keys))
    with database.connect() as connection:
        return sorted(connection.scalars(query))


def test_a_repair_that_was_killed_is_ended_by_the_next(
    prefix: str, settings: Settings, database: sa.Engine
) -> None:
    keys = sorted(f"{prefix}-{n}" for n in range(5, 9))
    with vandals(settings) as harm:
        for key in keys:
            harm["neo4j"].remove(POLICIES.view("neo4j"), key)
    dry = repair(expect=1)
    assert dry["plans"] == {
        "policies": {"applied": False, "writes": len(keys), "deletes": 0, "refused": None}
    }
    slow = started("repair", "--apply", "--rate", "0.1", "--tables", "policies")
    topic = refresh_topic(topic_of(settings.kafka.topic_prefix, POLICIES))
    before = sum(end for _, end in ends(settings, topic).values())
    sent = Retrying(
        retry=retry_if_result(lambda end: end < before + 2),
        wait=wait_fixed(0.1),
        stop=stop_after_delay(60),
    )
    sent(lambda: sum(end for _, end in ends(settings, topic).values()))
    slow.kill()
    slow.wait()
    assert len(repairs(database, keys)) < len(keys)

    done = repair("--apply", expect=2)
    assert done["notes"][0].startswith("continues run")
    assert sorted(one["key"] for one in done["repaired"]) == keys == repairs(database, keys)
    assert done["findings"] == []
    assert repair("--apply", expect=0)["repaired"] == []


def test_the_page_the_metrics_and_the_status_say_the_same(
    prefix: str, settings: Settings, tmp_path: Path
) -> None:
    key = f"{prefix}-10"
    with vandals(settings) as harm:
        harm["redis"].stamp(POLICIES.view("redis"), key, fp="0" * 16)
    html, prom = tmp_path / "report.html", tmp_path / "aegis.prom"
    found = check("--html", str(html), "--metrics", str(prom), expect=1)
    assert [one["key"] for one in found["findings"]] == [key]
    assert key in html.read_text("utf-8")
    assert 'aegis_reconcile_records{state="stale",store="redis",table="policies"} 1.0' in prom.read_text()
    known = aegis("reconcile", "status", "--json", check=False)
    assert known.returncode == 1
    status = json.loads(known.stdout)
    assert status["tables"]["policies"]["redis"]["findings"]["stale"] == 1
    assert (status["runs"][-1]["run_id"], status["runs"][-1]["drift"]) == (found["run_id"], 1)

    assert repair("--apply", expect=2)["repaired"][0]["key"] == key
    check()
    assert (
        aegis("reconcile", "status")
        .stdout.rstrip()
        .endswith("right: every table was found so in every store within 26 h")
    )


def test_files_that_cannot_be_written_are_told_before_anything_is_read(tmp_path: Path) -> None:
    for option in ("--json", "--html", "--metrics"):
        done = aegis("reconcile", "check", option, str(tmp_path / "none" / "file"), check=False)
        assert done.returncode == 10
        assert f"{option} {tmp_path}" in done.stderr


def test_a_report_that_cannot_be_written_does_not_hide_the_verdict(prefix: str, settings: Settings) -> None:
    full = aegis("reconcile", "check", "--tables", "users", "--json", "/dev/full", check=False)
    assert full.returncode == 10
    assert "consistent as of" in full.stdout
    assert "No space left on device" in full.stderr
    with vandals(settings) as harm:
        harm["redis"].stamp(POLICIES.view("redis"), f"{prefix}-11", fp="0" * 16)
    full = aegis("reconcile", "check", "--tables", "policies", "--json", "/dev/full", check=False)
    assert (full.returncode, "No space left on device" in full.stderr) == (1, True)
    repair("--apply", expect=2)


def test_the_package_is_a_program_of_its_own(prefix: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "check", "--tables", "users", "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["tables"]) == {"users"}
