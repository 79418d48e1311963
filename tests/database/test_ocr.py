"""Batches of images: 1,000 with five text boxes each, some broken, and what else can come between."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from intake import ocr
from intake.errors import Busy, Refused
from intake.ocr import Batch, OcrBatch
from processor.settings import Settings
from sql.migrate import upgrade
from tests.integration.conftest import ROOT, aegis
from tests.integration.scratch import scratch_database, scratch_roles

COUNTERS = "SELECT status, total_images, completed_images, failed_images FROM batch_executions"


@pytest.fixture
def engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    with scratch_roles(settings) as roles, scratch_database(settings) as made:
        upgrade(made, roles)
        monkeypatch.setenv("POSTGRES_DB", str(made.url.database))
        yield made


def image(number: int, **changes: Any) -> dict[str, Any]:
    boxes = [{"text": f"글자 {number}-{k}", "confidence": k / 4, "bbox": [0, 0, k, k]} for k in range(5)]
    return {
        "image_path": f"in/{number}.png",
        "public_path": f"out/{number}.png",
        "text_boxes": boxes,
        **changes,
    }


def write(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    path.write_bytes(
        b"\n".join(item if isinstance(item, bytes) else json.dumps(item).encode() for item in lines)
    )
    return path


@pytest.fixture
def thousand(tmp_path: Path) -> Path:
    """1,000 images of five boxes; the 18th line is cut, the 501st has a wrong box, the 901st was not read."""
    lines: list[dict[str, Any] | bytes] = [image(n) for n in range(1_000)]
    lines[17] = b'{"image_path": "in/17.png"'
    wrong = image(500)
    wrong["text_boxes"][2]["confidence"] = 1.2
    lines[500] = wrong
    lines[900] = {"image_path": "in/900.png", "error": "blurred"}
    return write(tmp_path / "images.jsonl", *lines)


def rows(engine: sa.Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def failures(engine: sa.Engine) -> dict[str, str]:
    query = "SELECT image_path, error FROM ocr_executions WHERE status = 'failed' ORDER BY 1"
    return {str(path): str(error) for path, error in rows(engine, query)}


def test_what_is_good_is_kept_and_what_is_broken_is_recorded_with_its_cause(
    engine: sa.Engine, thousand: Path
) -> None:
    assert OcrBatch(engine, "b", thousand, Event()).run() == Batch("b", 1_000, 997, 3)
    assert rows(engine, COUNTERS) == [("SUCCESS", 1_000, 997, 3)]
    tasks = "SELECT t.status, count(*), count(t.error) FROM task_logs t JOIN ocr_executions e"
    same = "ON t.task_id = e.id::text AND t.error IS NOT DISTINCT FROM e.error GROUP BY 1 ORDER BY 1"
    assert rows(engine, f"{tasks} {same}") == [("FAILURE", 3, 3), ("SUCCESS", 997, 0)]
    assert rows(
        engine, "SELECT status, total_tasks, completed_tasks, failed_tasks FROM chain_executions"
    ) == [("SUCCESS", 1_000, 997, 3)]
    causes = failures(engine)
    assert causes.keys() == {"b, line 18", "in/500.png", "in/900.png"}
    assert causes["b, line 18"].startswith("DP_2001: line: Invalid JSON")
    assert causes["in/500.png"].startswith("DP_2001: text_boxes.2.confidence: ")
    assert causes["in/900.png"] == "blurred"
    kept = rows(
        engine,
        "SELECT image_path, public_path, array_agg(text ORDER BY confidence), "
        "array_agg(bbox ORDER BY confidence) "
        "FROM ocr_executions e JOIN ocr_text_boxes b ON b.ocr_execution_id = e.id GROUP BY 1, 2",
    )
    assert sorted(kept) == sorted(
        (f"in/{n}.png", f"out/{n}.png", [f"글자 {n}-{k}" for k in range(5)], [[0, 0, k, k] for k in range(5)])
        for n in range(1_000)
        if n not in {17, 500, 900}
    )


def test_a_thousand_images_take_tens_of_statements(engine: sa.Engine, thousand: Path) -> None:
    statements = []

    def note(*arguments: Any) -> None:
        statements.append((arguments[2].split()[0], arguments[5]))

    sa.event.listen(engine, "before_cursor_execute", note)
    OcrBatch(engine, "b", thousand, Event()).run()
    assert len(statements) < 50
    assert not any(many for _, many in statements)  # each is one statement for the server, too
    assert sum(first == "SAVEPOINT" for first, _ in statements) == 5


def test_the_counters_are_seen_by_others_while_no_image_is(engine: sa.Engine, thousand: Path) -> None:
    seen = []

    def progress(done: int, total: int) -> None:
        seen.append(
            (done, total, rows(engine, COUNTERS), rows(engine, "SELECT count(*) FROM ocr_executions"))
        )

    OcrBatch(engine, "b", thousand, Event()).run(progress)
    assert seen == [
        (done, 1_000, [("RUNNING", 1_000, done - failed, failed)], [(0,)])
        for done, failed in ((200, 1), (400, 1), (600, 2), (800, 2), (1_000, 3))
    ]


def test_what_only_postgresql_refuses_is_found_and_the_rest_of_its_chunk_is_kept(
    engine: sa.Engine, tmp_path: Path
) -> None:
    write(tmp_path / "first.jsonl", image(1))
    OcrBatch(engine, "first", tmp_path / "first.jsonl", Event()).run()
    second = write(
        tmp_path / "second.jsonl",
        *(image(n) for n in range(2, 100)),
        image(1),  # read by the first batch
        image(50, public_path="other"),  # twice in the file
        image(100, public_path="out/2.png"),
        image(101, text_boxes=[{"text": "\0", "confidence": 1, "bbox": []}]),
        image(102, image_path="nul\0.png"),
        image(103),
    )
    assert OcrBatch(engine, "second", second, Event()).run() == Batch("second", 104, 99, 5)
    causes = failures(engine)
    assert causes.keys() == {
        "second, line 99", "second, line 100", "in/100.png", "in/101.png", "second, line 103"
    }  # fmt: skip
    assert causes["second, line 99"].startswith("DP_2003: image_path: taken")
    assert causes["second, line 100"].startswith("DP_2003: image_path: taken")
    assert causes["in/100.png"].startswith("DP_2003: public_path: taken")
    assert causes["in/101.png"] == "DP_2001: line: holds characters that PostgreSQL cannot"
    assert rows(engine, "SELECT count(*) FROM ocr_text_boxes") == [(100 * 5,)]


@pytest.mark.parametrize("after", [b"", b"\n"])
def test_a_byte_order_mark_is_no_part_of_an_image_and_none_itself(
    engine: sa.Engine, tmp_path: Path, after: bytes
) -> None:
    file = write(tmp_path / "b.jsonl", b"\xef\xbb\xbf" + after + json.dumps(image(1)).encode(), image(2))
    assert OcrBatch(engine, "b", file, Event()).run() == Batch("b", 2, 2, 0)


def test_a_failure_that_cannot_be_recorded_is_told_and_not_counted(engine: sa.Engine, tmp_path: Path) -> None:
    file = write(tmp_path / "b.jsonl", image(1, image_path="b, line 2"), b"{")
    with pytest.raises(Refused, match=r"the failure of line 2 cannot be recorded: .*image_path") as caught:
        OcrBatch(engine, "b", file, Event()).run()
    assert "nothing of the batch was written" in str(caught.value.hint)
    assert rows(engine, "SELECT count(*) FROM ocr_executions") == [(0,)]
    assert OcrBatch(engine, "c", file, Event()).run() == Batch("c", 2, 1, 1)


def test_the_lock_goes_with_the_run_also_where_connections_are_kept(
    engine: sa.Engine, tmp_path: Path
) -> None:
    pooled = sa.create_engine(engine.url)
    file = write(tmp_path / "b.jsonl", image(1))
    OcrBatch(pooled, "b", file, Event()).run()
    assert OcrBatch(engine, "b", file, Event()).run().repeated
    pooled.dispose()


def test_a_batch_of_which_nothing_could_be_read_is_a_failure(engine: sa.Engine, tmp_path: Path) -> None:
    file = write(tmp_path / "bad.jsonl", b"x", b"\xff")
    assert OcrBatch(engine, "b", file, Event()).run() == Batch("b", 2, 0, 2)
    assert rows(engine, COUNTERS) == [("FAILURE", 2, 0, 2)]


def test_a_batch_that_is_done_is_not_written_again(engine: sa.Engine, thousand: Path) -> None:
    first = aegis("intake", "ocr", str(thousand)).stdout
    assert first == "batch images.jsonl: 1,000 images, 997 kept, 3 failed\n"
    versions = "SELECT xmin::text, id FROM batch_executions UNION SELECT xmin::text, id FROM ocr_executions"
    before = rows(engine, versions)
    answer = json.loads(aegis("intake", "ocr", str(thousand), "--json").stdout)
    assert answer == {
        "batch_id": "images.jsonl",
        "total": 1_000,
        "completed": 997,
        "failed": 3,
        "repeated": True,
    }
    assert sorted(rows(engine, versions)) == sorted(before)


def test_a_second_run_of_the_batch_is_refused_while_the_first_is_at_work(
    engine: sa.Engine, thousand: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ocr, "LOCK_TIMEOUT", "SET lock_timeout = '50ms'")

    def progress(done: int, total: int) -> None:
        with pytest.raises(Busy, match="another run of batch b is at work"):
            OcrBatch(engine, "b", thousand, Event()).run()

    assert OcrBatch(engine, "b", thousand, Event()).run(progress).completed == 997


@pytest.mark.parametrize(
    ("number_of_signal", "code", "counters"),
    [(signal.SIGKILL, -9, ("RUNNING", 1_000, 598, 2)), (signal.SIGTERM, 4, ("REVOKED", 1_000, 0, 0))],
)
def test_a_run_that_was_ended_leaves_no_image_and_can_be_run_again(
    engine: sa.Engine, thousand: Path, number_of_signal: int, code: int, counters: tuple[Any, ...]
) -> None:
    command = [str(Path(sys.executable).with_name("aegis")), "intake", "ocr", str(thousand)]
    with engine.connect() as other:
        # whoever writes this image, too, waits for us: so the run stands still in its fourth chunk
        other.execute(
            sa.text(
                "WITH b AS (INSERT INTO batch_executions (batch_id, status) VALUES ('o', 'RUNNING')"
                " RETURNING id), c AS (INSERT INTO chain_executions (batch_execution_id, status)"
                " SELECT id, 'RUNNING' FROM b RETURNING id)"
                " INSERT INTO ocr_executions (chain_execution_id, image_path, status)"
                " SELECT id, 'in/700.png', 'success' FROM c"
            )
        )
        running = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        patiently = Retrying(
            retry=retry_if_result(lambda found: found != [("RUNNING", 1_000, 598, 2)]),
            wait=wait_fixed(0.05),
            stop=stop_after_delay(60),
        )
        patiently(rows, engine, COUNTERS)
        running.send_signal(number_of_signal)
        if code < 0:
            running.wait(timeout=60)
        other.rollback()
    said, error = running.communicate(timeout=60)
    assert (running.returncode, said) == (code, "")
    assert rows(engine, "SELECT count(*) FROM ocr_executions") == [(0,)]
    assert rows(engine, "SELECT count(*) FROM chain_executions") == [(0,)]
    assert rows(engine, COUNTERS) == [counters]
    if code == 4:
        assert "was stopped; nothing of it was written" in error

    assert aegis("intake", "ocr", str(thousand)).stdout.endswith("997 kept, 3 failed\n")
    assert rows(engine, COUNTERS) == [("SUCCESS", 1_000, 997, 3)]
    assert rows(engine, "SELECT count(*) FROM ocr_text_boxes") == [(997 * 5,)]
