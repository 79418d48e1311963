"""Reports as runs leave them, for what shows them."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from reconciler.counts import Counts, Finding, Kind, Repaired
from reconciler.differences import Difference, Differences
from reconciler.history import Past, Success
from reconciler.page import Page
from reconciler.report import PartReport, Plan, Report

BEGAN = datetime(2026, 11, 21, 18, 0, 5, tzinfo=UTC)
ENDED = BEGAN + timedelta(minutes=12, seconds=41)
HOSTILE = (
    "</bdi></li><script>alert(1)</script><img src=http://example.org/x onerror=alert(2)>"
    "{{ 7 * 7 }}\x00\u202e\ud800&quot;'\""
)
RUN = "3f2a9c0d5b7e4f18a6c2d9e0b1f47a35"
LONG = "가나다라마바사 " * 60_000


def finding(store: str, key: str, kind: Kind, days: float, table: str = "policies") -> Finding:
    return Finding(table, store, key, kind, ENDED - timedelta(days=days))


FINDINGS = [
    finding("milvus", "POL-2025-00017", Kind.STALE, 3.2),
    finding("elasticsearch", "POL-2025-00017", Kind.DEAD_LETTERED, 3.1),
    finding("neo4j", "정책-서울-2026/청년 주거", Kind.CORRUPT_STAMP, 1.4),
    finding("redis", "업종=제조업,지역=서울 👩‍🚒", Kind.ORPHAN, 0.5, "business_rules"),
    finding("milvus", HOSTILE, Kind.MISSING, 0.1),
    finding("milvus", "K" * 500_000, Kind.STALE, 0.01),
    finding("milvus", "0b7c7f0e-90de-4f6d-8f2b-8a5a6d0c2a11", Kind.STALE, 0.01, "users"),
    finding("elasticsearch", "مرحبا-1024", Kind.UNVERIFIED, 0),
]
DIFFERENCES: Differences = {
    ("policies", "milvus", "POL-2025-00017"): [
        Difference("title", "청년 월세 한시 특별지원 (2026)", "청년 월세 한시 특별지원 (2025)"),
        Difference("budget_krw", "1250000000", "125000000"),
        Difference("valid_until", "2026-12-31T15:00:00Z", "null"),
        Difference("summary", LONG + "끝", LONG + "끝."),
        Difference("vector", "sha256 9f0a61c2", "sha256 00b1f3aa"),
    ],
    ("policies", "neo4j", "정책-서울-2026/청년 주거"): [],
    ("policies", "elasticsearch", "POL-2025-00017"): [
        Difference("title", "한글", unicodedata.normalize("NFD", "한글"))
    ],
    ("policies", "milvus", "K" * 500_000): [Difference(HOSTILE, HOSTILE, "a\nb\tc")],
    ("users", "milvus", "0b7c7f0e-90de-4f6d-8f2b-8a5a6d0c2a11"): [
        Difference("display_name", None, None),
        Difference("interests", None, "null"),
    ],
}
RIGHT = Counts(scanned_source=370, scanned_store=370, keys=370, seconds=2.4)


def parts() -> dict[str, dict[str, PartReport]]:
    many = Counts(scanned_source=1_204_311, scanned_store=1_204_299, keys=1_204_311, deep_checked=172_044)
    wrong = replace(many, missing=13, stale=4, repaired=14, seconds=412.3)
    return {
        "policies": {
            "milvus": PartReport(wrong),
            "neo4j": PartReport(replace(many, corrupt_stamp=1, seconds=233.0)),
            "elasticsearch": PartReport(replace(many, dead_lettered=1, unverified=1, seconds=188.9)),
            "redis": PartReport(
                replace(many, scanned_store=81_220, absent=1_123_079, unverified=12, seconds=9.1),
                reason="redis: redis://127.0.0.1:16379/0 does not answer: connection refused",
                hint="aegis stack up redis, or check REDIS_URL",
                exit_code=3,
            ),
        },
        "business_rules": {
            "neo4j": PartReport(RIGHT),
            "redis": PartReport(replace(RIGHT, keys=371, scanned_store=371, orphan=1)),
        },
        "users": {"milvus": PartReport(replace(RIGHT, stale=1)), "neo4j": PartReport(RIGHT)},
    }


def drift() -> Page:
    """Everything at once: drift, repairs, parts that did not end, hostile keys and values, 30 runs."""
    report = Report(
        RUN,
        0x48_61B3_70AB,
        BEGAN,
        parts=parts(),
        findings=FINDINGS,
        repaired=[
            Repaired("policies", "milvus", f"POL-2025-{n:05}", Kind.MISSING, BEGAN, ENDED) for n in range(4)
        ],
        plans={
            "policies": Plan(applied=True, writes=17, deletes=0),
            "business_rules": Plan(
                False, 0, 1, "business_rules is empty in PostgreSQL, but 371 records are in redis"
            ),
            "users": Plan(applied=False, writes=1, deletes=0),
        },
        notes=["every field of share 3 of 7; the next run takes another"],
    )
    return Page(report, successes(), [*past(29), last(report)], DIFFERENCES, ENDED)


def consistent() -> Page:
    """Nothing to tell, and nothing was before it."""
    report = Report(
        RUN, 0x1_0000_0010, BEGAN, {"policies": {"neo4j": PartReport(RIGHT), "milvus": PartReport(RIGHT)}}
    )
    done = [Success("policies", store, "0/1", ENDED, report.as_of_lsn, RUN) for store in ("neo4j", "milvus")]
    return Page(report, done, [last(report)], {}, ENDED)


def with_counts(exit_code: int = 0, **numbers: int) -> Page:
    """One table in one store."""
    part = PartReport(replace(RIGHT, **numbers), exit_code=exit_code)
    report = Report(RUN, 1, BEGAN, {"policies": {"neo4j": part}})
    return Page(report, [], [last(report)], {}, ENDED)


def quiet_month() -> Page:
    """30 runs without drift, one of which could not verify."""
    page = consistent()
    runs = [
        Past(f"{n:032x}", BEGAN - timedelta(days=n), ENDED - timedelta(days=n), 3 if n == 8 else 0, 0, 0, 0)
        for n in range(29, 0, -1)
    ]
    return replace(page, past=[*runs, *page.past])


def past(count: int) -> list[Past]:
    """Runs that ended in each way, the oldest first."""
    drift = [0, 3, 41, 0, 18, 0, 0, 7, 120, 2]
    runs = []
    for n in range(count, 0, -1):
        wrong = drift[n % len(drift)]
        repaired, unverified = wrong // 2 if n % 4 else wrong, 12 if n % 9 == 0 else 0
        code = 1 if wrong > repaired else 3 if unverified else 2 if repaired else 0
        began = BEGAN - timedelta(days=n)
        runs.append(Past(f"{n:032x}", began, began + timedelta(minutes=9), code, wrong, repaired, unverified))
    return runs


def last(report: Report) -> Past:
    counts = [part.counts for stores in report.parts.values() for part in stores.values()]
    return Past(
        report.run_id,
        report.started_at,
        ENDED,
        report.exit_code,
        sum(found.drift for found in counts),
        sum(found.repaired for found in counts),
        sum(found.unverified for found in counts),
    )


def successes() -> list[Success]:
    """Of a table as a whole, and of another by shares, of which one is old."""
    whole = [
        Success(table, "neo4j", "0/1", at, 1, RUN)
        for table, at in (("policies", BEGAN - timedelta(days=3, hours=4)), ("users", ENDED))
    ]
    shares = [
        Success("policies", "milvus", f"{n}/3", ENDED - timedelta(hours=age), 1, RUN)
        for n, age in enumerate((2, 49, 2))
    ]
    return [*whole, *shares, Success("policies", "redis", "0/2", ENDED, 1, RUN)]
