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

from processor.settings import Settings
from processor.tables.policies import POLICIES
from sql.models import ReconcilePart, ReconcileSuccess
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
    slow = subprocess.Popen(
        [Path(sys.executable).with_name("aegis"), "reconcile", "check", "--rows-per-second", "1"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
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
