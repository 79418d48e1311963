"""Writes a batch of images that were read (OCR): in one transaction, so that a kill leaves nothing half-done.

A savepoint for each image would cost two statements an image. So there is one for each chunk; only when
PostgreSQL refuses something in it, the chunk is halved until the refused image stands in a savepoint of its
own. What a savepoint an image promises, holds: a bad image is recorded with its cause, all others are kept.

Others see the counters move while it runs, since a second connection commits them. The last ones come with
the images. A run that did not come to its end leaves its counters and no image; the next one begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final
from uuid import UUID

import psycopg
import sqlalchemy as sa
from psycopg.types.json import Jsonb

from intake.errors import Busy, Refused, StoppedEarly
from intake.images import Image, chunks
from intake.lines import lines
from intake.patience import patiently
from intake.refusals import VALIDATION, Refusal, refusal_of
from sql.models import Base, OcrExecution
from sql.queries import run

LOCK_TIMEOUT: Final = "SET lock_timeout = '10s'"
"""For the run before to end: PostgreSQL may need some seconds to notice that its client was killed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of the images; `repeated`: an earlier run has done it, nothing was written."""

    batch_id: str
    total: int
    completed: int = 0
    failed: int = 0
    repeated: bool = False


class OcrBatch:
    """One run. `contents` brings the images, `counters` what others see of it meanwhile."""

    def __init__(self, engine: sa.Engine, batch_id: str, file: Path, stop: Event) -> None:
        self._engine = engine
        self._batch_id = batch_id
        self._file = file
        self._stop = stop

    def run(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Batch:
        """Write the images; `progress` gets how many are done, and how many there are.

        Raises:
            Busy: another run of this batch is at work.
            Refused: not even the failure of an image could be recorded; nothing was written.
            StoppedEarly: `stop` was set; nothing was written.
        """
        total = self._count()
        with ExitStack() as stack:
            connect = self._engine.connect
            counters = stack.enter_context(connect().execution_options(isolation_level="AUTOCOMMIT"))
            counters.detach()  # the lock is the session's, which is to end with this
            self._lock(counters)
            batch = run(counters, "begin_batch", batch_id=self._batch_id, total=total).scalar()
            if batch is None:
                found = run(counters, "batch_counts", batch_id=self._batch_id).one()
                return Batch(self._batch_id, *found, repeated=True)
            contents = stack.enter_context(connect())
            with contents.begin():
                return self._write(contents, counters, batch, total, progress)

    def _count(self) -> int:
        with self._file.open("rb") as opened:
            return sum(1 for _ in lines(opened))

    def _lock(self, counters: sa.Connection) -> None:
        counters.execute(sa.text(LOCK_TIMEOUT))
        busy = Busy(f"another run of batch {self._batch_id} is at work", hint="wait for its end")
        patiently(lambda: run(counters, "lock_batch", batch_id=self._batch_id), 1, lambda: busy)

    def _write(
        self,
        contents: sa.Connection,
        counters: sa.Connection,
        batch: UUID,
        total: int,
        progress: Callable[[int, int], None],
    ) -> Batch:
        chain = run(contents, "add_chain", batch=batch, total=total).scalar_one()
        done = failed = 0
        with self._file.open("rb") as opened:
            for chunk in chunks(lines(opened)):
                if self._stop.is_set():
                    run(counters, "batch_progress", id=batch, status="REVOKED", completed=0, failed=0)
                    raise StoppedEarly(
                        f"batch {self._batch_id} was stopped; nothing of it was written",
                        hint="run the same command again",
                    )
                failed += _Writer(contents, chain, self._batch_id).write(chunk)
                done += len(chunk)
                run(
                    counters,
                    "batch_progress",
                    id=batch,
                    status="RUNNING",
                    completed=done - failed,
                    failed=failed,
                )
                progress(done, total)
        status = "FAILURE" if total and failed == total else "SUCCESS"
        last = {"status": status, "completed": done - failed, "failed": failed}
        run(contents, "end_chain", id=chain, **last)
        run(contents, "end_batch", id=batch, **last)
        return Batch(self._batch_id, total, done - failed, failed)


class _Writer:
    """Writes images; returns of how many only the failure could be recorded."""

    def __init__(self, contents: sa.Connection, chain: UUID, batch_id: str) -> None:
        self._contents = contents
        self._chain = chain
        self._batch_id = batch_id

    def write(self, images: Sequence[Image]) -> int:
        """All of them, or each half by itself when something in it is refused."""
        reason = self._insert(images)
        if reason is None:
            return sum(image.error is not None for image in images)
        if len(images) > 1:
            middle = len(images) // 2
            return self.write(images[:middle]) + self.write(images[middle:])
        [image] = images
        if self._insert([image.failed(reason)]) is not None:
            # its path is taken, or nothing that PostgreSQL can hold
            refused = self._insert([image.failed(reason, nameless=True)])
            if refused is not None:
                raise Refused(
                    Refusal(
                        VALIDATION, None, f"the failure of line {image.line} cannot be recorded: {refused}"
                    ),
                    hint="nothing of the batch was written: correct the line, or choose another --batch-id",
                )
        return 1

    def _insert(self, images: Sequence[Image]) -> str | None:
        """In a savepoint of their own; why they were refused."""
        rows = [
            {
                "id": str(image.id),
                "image_path": image.path or f"{self._batch_id[:450]}, line {image.line}",
                "public_path": image.public_path,
                "error": image.error,
            }
            for image in images
        ]
        boxes = [{**box, "ocr_execution_id": str(image.id)} for image in images for box in image.text_boxes]
        try:
            with self._contents.begin_nested():
                run(self._contents, "add_images", chain=self._chain, images=Jsonb(rows))
                run(self._contents, "add_tasks", chain=self._chain, images=Jsonb(rows))
                run(self._contents, "add_text_boxes", boxes=Jsonb(boxes))
        except (sa.exc.IntegrityError, sa.exc.DataError) as error:
            refusal = refusal_of(error.orig, _table_of(error))
            return f"{refusal.code}: {refusal}"
        return None


def _table_of(error: sa.exc.DBAPIError) -> sa.Table:
    name = error.orig.diag.table_name if isinstance(error.orig, psycopg.Error) else None
    return Base.metadata.tables[name or OcrExecution.__tablename__]
