"""What people are told of a run, word by word."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from reconciler.counts import Counts, Finding, Kind, Repaired
from reconciler.notice import notice_of
from reconciler.report import PartReport, Plan, Report

NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)


def report(**parts: PartReport) -> Report:
    return Report("run-1", 0x1_0000_0010, NOON, parts={"policies": parts})


def lines(of: Report | None, exit_code: int, error: str | None = None) -> list[str]:
    notice = notice_of(of, exit_code, error)
    assert notice is not None
    return [notice.title, *notice.body.splitlines()]


def test_of_a_consistent_run_nobody_is_told() -> None:
    assert notice_of(report(redis=PartReport(Counts(keys=5))), 0) is None
    assert notice_of(None, 0) is None


def test_drift_is_told_with_numbers_keys_and_what_to_do() -> None:
    found = report(
        milvus=PartReport(Counts(keys=500, missing=11, dead_lettered=1)), redis=PartReport(Counts(keys=500))
    )
    found.findings = [
        *(Finding("policies", "milvus", f"P{n:02}", Kind.MISSING, NOON) for n in range(11)),
        Finding("policies", "milvus", "P99", Kind.DEAD_LETTERED, NOON),
    ]
    assert found.exit_code == 1
    assert lines(found, 1) == [
        "Aegis: the stores differ from PostgreSQL",
        "12 records are not as PostgreSQL has it (run run-1, as of 1/10)",
        "policies in milvus: 11 missing, 1 dead-lettered",
        *(f"missing: policies P{n:02} in milvus" for n in range(10)),
        "and 2 more",
        "missing: aegis reconcile repair --apply writes it",
        "dead-lettered: aegis dlq list names the cause: correct it, then aegis dlq replay",
        "next: aegis trace TABLE KEY shows row and records field by field",
    ]


def test_repaired_drift_is_told_but_is_no_failure() -> None:
    healed = report(redis=PartReport(Counts(keys=9, stale=2, repaired=2)))
    healed.repaired = [Repaired("policies", "redis", key, Kind.STALE, NOON, NOON) for key in ("A", "B")]
    assert healed.exit_code == 2
    notice = notice_of(healed, 2)
    assert notice is not None
    assert not notice.failed
    assert lines(healed, 2) == [
        "Aegis: drift was found, repaired and verified",
        "2 records were wrong, healed, and found right then (run run-1, as of 1/10)",
        "policies in redis: 2 stale, 2 of these repaired",
        "stale: policies A in redis",
        "stale: policies B in redis",
        "next: nothing; if it happens again, find out who else writes to that store",
    ]


def test_why_a_part_could_not_be_verified_is_told_with_its_cure() -> None:
    away = report(neo4j=PartReport(Counts(), reason="does not answer", hint="aegis stack up", exit_code=3))
    assert lines(away, 3) == [
        "Aegis: the stores could not be verified",
        "1 of 1 parts did not come to their end (run run-1, as of 1/10)",
        "policies in neo4j: does not answer (next: aegis stack up)",
        "next: cure the cause, then run it again; nothing is said of drift",
    ]


def test_a_refused_repair_is_told_with_the_refusal_and_not_to_be_run_again() -> None:
    refused = report(redis=PartReport(Counts(keys=99, orphan=50)))
    refused.plans = {"policies": Plan(applied=False, writes=0, deletes=50, refused="50 deletes are too many")}
    told = lines(refused, 4)
    assert told[0] == "Aegis: a repair was refused"
    assert "policies was not repaired: 50 deletes are too many" in told
    assert told[-1] == "next: aegis status, before anything is allowed"


@pytest.mark.parametrize(
    ("exit_code", "title"),
    [
        (3, "Aegis: the stores could not be verified"),
        (4, "Aegis: reconciliation stopped before its end"),
        (5, "Aegis: reconciliation did not run: another run is at work"),
        (10, "Aegis: reconciliation did not run: its configuration is wrong"),
    ],
)
def test_a_run_without_a_report_is_told_with_what_ended_it(exit_code: int, title: str) -> None:
    told = lines(None, exit_code, "the slot is not read")
    assert told[:2] == [title, "the slot is not read"]
    assert told[2].startswith("next: ")
    notice = notice_of(None, exit_code, "the slot is not read")
    assert notice is not None
    assert notice.failed


def test_of_an_internal_error_the_message_is_not_told_since_it_may_hold_values() -> None:
    assert lines(None, 11, "DETAIL: Failing row contains (kim@example.org)") == [
        "Aegis: reconciliation failed",
        "next: a defect: the log of the run has the trace",
    ]


def test_a_notice_about_everything_stays_short() -> None:
    stores = ("milvus", "neo4j", "elasticsearch", "redis")
    bad = PartReport(
        Counts(keys=9, missing=1, orphan=1, stale=1), reason="r" * 60, hint="h" * 30, exit_code=3
    )
    everything = Report("r", 1, NOON, parts={f"table_{n}": dict.fromkeys(stores, bad) for n in range(40)})
    notice = notice_of(everything, 1)
    assert notice is not None
    assert "and 140 more" in notice.body
    assert len(notice.body) < 4_000
