"""The reconciler under live traffic: no false alarm while processors die; planted faults found and healed.

AEGIS_SOAK_SECONDS: how long traffic flows at the least; AEGIS_SOAK_SEED: repeats the same dice.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from processor.refresh import refresh_topic
from processor.settings import Settings
from processor.tables import PROJECTIONS, topic_of
from tests.chaos.group import processors
from tests.integration.commands import command_ends, commands
from tests.integration.outage import letters
from tests.integration.path import catch_up, unique
from tests.integration.rows import WRITTEN
from tests.soak.killer import Killer
from tests.soak.planting import STRANGE, Garden
from tests.soak.runs import (
    CONSISTENT,
    DRIFT,
    REFUSED,
    REPAIRED,
    Run,
    check,
    look,
    repair,
    tell_codes,
    until_verified,
)
from tests.soak.traffic import Traffic, heavy, light

pytestmark = pytest.mark.native("a soak takes what the native stack can give")
SECONDS = int(os.environ.get("AEGIS_SOAK_SECONDS", "180"))
SEED = os.environ.get("AEGIS_SOAK_SEED") or uuid.uuid4().hex[:8]
RUNS = max(SECONDS // 36, 1)
"""Complete runs that are wanted: five in three minutes."""
PATIENCE = 4
"""Times SECONDS, and a minute: how long to wait for them."""
ROWS = 1_500
"""Of each table: at 80 changes a second, one in nine changes within the two seconds of a fence."""
FEW = 150
"""Rows beside the planted faults: a deep check reads each of them whole."""
PROCESSOR = {"BATCH_SIZE": "200", "LOG_LEVEL": "INFO", "METRICS_PORT": "0"}
Tell = Callable[[str], None]


@contextmanager
def rows_of(engine: sa.Engine, prefix: str, number: int) -> Iterator[None]:
    """Rows of every table, taken away at the end with whatever else has the prefix."""
    with engine.begin() as connection:
        for written in WRITTEN.values():
            written.copy(connection, [written.row(f"{prefix}-{n}") for n in range(number)])
    try:
        yield
    finally:
        with engine.begin() as connection:
            for written in WRITTEN.values():
                connection.execute(sa.delete(written.table).where(written.mine(prefix)))


def test_no_run_raises_a_false_alarm_while_traffic_flows_and_processors_die(
    pipeline: sa.Engine, settings: Settings, tell: Tell, tmp_path: Path
) -> None:
    tell(f"AEGIS_SOAK_SEED={SEED}")
    prefix, before = unique("soak"), letters(settings)
    traffic = Traffic(pipeline, prefix, ROWS, SEED)
    with processors(tmp_path, **PROCESSOR) as start, rows_of(pipeline, prefix, ROWS):
        killer = Killer(start, Random(SEED))  # noqa: S311
        catch_up(pipeline, settings)
        with traffic.flowing(*heavy()), killer.at_work():
            runs, alarm = _runs(pipeline, settings, tell, tmp_path)
            tell(f"{traffic}; {killer.kills} kills; runs: {tell_codes(runs)}")
        catch_up(pipeline, settings)
        assert not alarm, alarm + "\nwhen all is done:\n" + look(settings, pipeline, runs[-1].kinds)
        assert letters(settings) == before
        assert sum(run.code == CONSISTENT for run in runs) >= RUNS
        assert until_verified(tmp_path, deep=True).code == CONSISTENT


def _runs(engine: sa.Engine, settings: Settings, tell: Tell, folder: Path) -> tuple[list[Run], str]:
    """Runs, one after the other, until enough came to their end; and what the last one has raised."""
    began, runs, alarm = time.monotonic(), list[Run](), ""
    while not alarm:
        seconds = time.monotonic() - began
        complete = sum(run.code == CONSISTENT for run in runs)
        if seconds > PATIENCE * SECONDS + 60 or (seconds > SECONDS and complete >= RUNS):
            break
        runs.append(check(folder, deep=len(runs) % 3 == 2))
        tell(str(runs[-1]))
        if runs[-1].kinds or runs[-1].code == DRIFT:
            alarm = f"{runs[-1].kinds}\n{look(settings, engine, runs[-1].kinds)}"
    return runs, alarm


@pytest.mark.short
def test_every_planted_fault_is_found_for_what_it_is_and_healed_and_nothing_else_is_touched(
    pipeline: sa.Engine, settings: Settings, tell: Tell, tmp_path: Path
) -> None:
    prefix = unique("soak")
    garden = Garden(pipeline, settings, f"{prefix}/")
    with processors(tmp_path, **PROCESSOR) as start, rows_of(pipeline, prefix, FEW):
        start()
        garden.sow()
        catch_up(pipeline, settings)
        garden.prepare()
        catch_up(pipeline, settings)
        with Traffic(pipeline, prefix, FEW, SEED).flowing(*light()):
            planted = garden.plant()
            tell(f"{len(planted.plain)} faults, and {len(planted.deep)} for a deep check only")
            prefix_of = settings.kafka.topic_prefix
            topics = {
                refresh_topic(topic_of(prefix_of, table)): table for table in PROJECTIONS if table.views
            }
            begin = command_ends(settings, topics)
            try:
                plain, deep = until_verified(tmp_path), until_verified(tmp_path, deep=True)
            finally:  # who runs next must not meet them
                repairs = _repaired(tmp_path)
            tell("; ".join(map(str, (plain, deep, *repairs))))
            assert (plain.code, plain.kinds) == (DRIFT, planted.plain)
            assert (deep.code, deep.kinds) == (DRIFT, planted.plain | planted.deep)
            assert {place: deep.first_seen[place] for place in planted.plain} == plain.first_seen
            # three tables lack rows for more records than may be removed without being asked for
            assert repairs[0].code == REFUSED
            assert {place: kind for run in repairs for place, kind in run.repaired.items()} == deep.kinds
            ours = {run.report["run_id"] for run in repairs}
            sent = commands(settings, topics, begin)
            commanded = Counter(place for command, place in sent if command.run_id in ours)
            assert commanded == Counter(place for place in deep.kinds if place[2] != STRANGE)
            last = until_verified(tmp_path, deep=True)
            assert (last.code, last.kinds) == (CONSISTENT, {})


def _repaired(folder: Path) -> list[Run]:
    """As an operator would: rails first, then the share that is right; again while rows were hot."""
    runs = [repair(folder)]
    while runs[-1].code != REPAIRED and len(runs) < 5:
        runs.append(repair(folder, "--max-delete-ratio", "0.2"))
    return runs
