"""Memory over a long stream: the processor's own, while it catches up with many changes of few rows.

Some rows are large, so that a batch is full by its bytes long before it is full by its records.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import psutil
import sqlalchemy as sa
import typer
from rich.table import Table

from processor.offsets import GroupOffsets, Offsets
from processor.output import err, out
from processor.routes import consumed_topics
from processor.settings import load_settings
from sql.capture import SLOT
from sql.models import Policy
from sql.positions import mark, wait_streamed

STREAM_SECONDS = 600
MIB = 1024 * 1024
TABLE: sa.Table = Policy.__table__  # type: ignore[assignment]


def main(
    events: Annotated[int, typer.Option(help="Changes.")] = 200_000,
    keys: Annotated[int, typer.Option(help="Rows.")] = 5_000,
    large: Annotated[int, typer.Option(help="Rows of a megabyte; they change in every fourth round.")] = 50,
    steps: Annotated[int, typer.Option(help="Lines of the result.")] = 10,
) -> None:
    """Print resident memory (MiB) by share of the changes that are done."""
    settings, prefix = load_settings(), f"memory-{uuid.uuid4().hex[:8]}"
    engine = sa.create_engine(settings.postgres.url(), poolclass=sa.NullPool)
    group = GroupOffsets(settings.kafka, consumed_topics(settings.kafka.topic_prefix))
    _process_all()
    try:
        _write(engine, prefix, events, keys, large)
        ends = group.ends()
        samples = list(_sampled(group, ends))
    finally:
        with engine.begin() as connection:
            connection.execute(sa.delete(TABLE).where(TABLE.c.policy_id.startswith(prefix)))
        wait_streamed(engine, SLOT, mark(engine), STREAM_SECONDS)
        _process_all()
        group.close()
    _print(samples, steps)


def _write(engine: sa.Engine, prefix: str, events: int, keys: int, large: int) -> None:
    """Insert the rows, then change them beside their text until there are enough changes."""
    with engine.begin() as connection:
        connection.execute(sa.insert(TABLE), [_row(prefix, n, n < large) for n in range(keys)])
    done, rounds = keys, 0
    mine, small = TABLE.c.policy_id.startswith(prefix), TABLE.c.source_record_id.like("small%")
    while done < events:
        rounds += 1
        some = mine if rounds % 4 == 0 else sa.and_(mine, small)
        with engine.begin() as connection:
            changed = sa.update(TABLE).where(some).values(quality_score=rounds / 1_000)
            done += connection.execute(changed).rowcount
        wait_streamed(engine, SLOT, mark(engine), STREAM_SECONDS)
        err.print(f"{done:,} changes written", highlight=False)


def _row(prefix: str, number: int, large: bool) -> dict[str, object]:
    sentence = f"창업 기업에 보증을 제공하는 정책 {number}번입니다. "
    return {
        "policy_id": f"{prefix}-{number}",
        "title": f"창업 보증 {number}",
        "content": sentence * (MIB // len(sentence.encode()) if large else 5),
        "issuing_organization": "기술보증기금",
        "target_regions": ["11"],
        "target_industries": ["J"],
        "source_system": prefix,
        "source_record_id": f"{'large' if large else 'small'}-{number}",
        "status": "active",
        "is_active": True,
        "quality_score": 0.5,
    }


def _sampled(group: GroupOffsets, ends: Offsets) -> Iterator[tuple[float, float]]:
    """(share of the changes done, MiB resident), a few times a second."""
    total = group.lag(ends)
    process = _processor()
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            resident = watched.memory_info().rss / MIB
        except psutil.NoSuchProcess:
            break
        yield 1 - group.lag(ends) / total, resident
        time.sleep(0.2)
    if process.returncode:
        raise typer.Exit(code=1)


def _processor() -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("aegis")), "process", "--until-caught-up"]
    return subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL)


def _process_all() -> None:
    if _processor().wait():
        raise typer.Exit(code=1)


def _print(samples: list[tuple[float, float]], steps: int) -> None:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("changes done", "MiB at most"):
        grid.add_column(heading, justify="right")
    bounds = [step / steps for step in range(steps + 1)]
    for low, high in pairwise(bounds):
        inside = [resident for share, resident in samples if low <= share <= high]
        if inside:
            grid.add_row(f"{high:.0%}", f"{max(inside):,.0f}")
    out.print(grid)


if __name__ == "__main__":
    typer.run(main)
