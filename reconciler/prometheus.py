"""A run for Prometheus: a file for the node exporter's textfile collector. It has no key and no value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from reconciler.counts import Counts, Kind
from reconciler.freshness import last_successes
from reconciler.history import Success
from reconciler.report import Report

PLACE = ("table", "store")


def write(path: Path, report: Report, successes: Sequence[Success], ended_at: datetime) -> None:
    """Replace the file as a whole: a reader finds the old one or the new one.

    `ended_at`: when the run was over, with its time zone.

    Raises:
        OSError: the folder cannot be written to.
    """
    registry = CollectorRegistry()
    _run(registry, report, ended_at)
    _last_successes(registry, report, successes)
    _parts(registry, report)
    write_to_textfile(str(path), registry)


def _run(registry: CollectorRegistry, report: Report, ended_at: datetime) -> None:
    ended = Gauge(
        "aegis_reconcile_last_run_timestamp_seconds",
        "Unix time at which the last run ended with a report.",
        registry=registry,
    )
    ended.set(ended_at.timestamp())
    code = Gauge(
        "aegis_reconcile_exit_code",
        "Of that run: 0 consistent, 1 drift, 2 repaired, 3 not verified, 4 stopped.",
        registry=registry,
    )
    code.set(report.exit_code)


def _last_successes(registry: CollectorRegistry, report: Report, successes: Sequence[Success]) -> None:
    """0 for a part that never had one, so that its age is great enough for any alert."""
    gauge = Gauge(
        "aegis_reconcile_last_success_timestamp_seconds",
        "Unix time at which all keys of the table were last found right in the store; of shares the oldest. "
        "0: never.",
        PLACE,
        registry=registry,
    )
    for table, stores in report.parts.items():
        for store in stores:
            gauge.labels(table, store).set(0)
    for place, at in last_successes(successes).items():
        gauge.labels(*place).set(at.timestamp())


def _parts(registry: CollectorRegistry, report: Report) -> None:
    records = Gauge(
        "aegis_reconcile_records",
        "Keys by what the run found: ok, absent (no cache entry, which is right), each kind of finding; "
        "repaired: of the findings, those that were healed and found right then.",
        (*PLACE, "state"),
        registry=registry,
    )
    scanned = Gauge(
        "aegis_reconcile_scanned",
        "Rows (source) and records (store) that were read.",
        (*PLACE, "side"),
        registry=registry,
    )
    seconds = Gauge("aegis_reconcile_seconds", "Seconds of work.", PLACE, registry=registry)
    for table, stores in report.parts.items():
        for store, part in stores.items():
            for state, number in _states(part.counts).items():
                records.labels(table, store, state).set(number)
            scanned.labels(table, store, "source").set(part.counts.scanned_source)
            scanned.labels(table, store, "store").set(part.counts.scanned_store)
            seconds.labels(table, store).set(part.counts.seconds)


def _states(counts: Counts) -> dict[str, int]:
    states = ("ok", "absent", *(kind.value for kind in Kind), "repaired")
    return {state: getattr(counts, state) for state in states}
