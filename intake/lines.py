"""Lines of a file of records, one by one and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import BinaryIO, Final
from uuid import UUID

from intake.refusals import Refusal

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""The longest text of a row is 7 MiB; as JSON it takes twice as much where each syllable is \\uXXXX."""
KEPT_BYTES: Final = 1024 * 1024
"""Of a bad line, for whoever looks at it."""
CHUNK_LINES: Final = 500
CHUNK_BYTES: Final = 8 * 1024 * 1024
BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line, counted from 1; of one that is too long `raw` is only the beginning. `size`: in bytes."""

    number: int
    raw: bytes
    size: int

    def text(self) -> str | Refusal:
        """The line as text, or why it is none."""
        if self.size > MAX_LINE_BYTES:
            return Refusal("DP_1004", None, f"longer than {MAX_LINE_BYTES} bytes ({self.size})")
        try:
            return self.raw.decode()
        except UnicodeDecodeError as error:
            return Refusal("DP_1004", None, f"not UTF-8 at byte {error.start}")


def lines(file: BinaryIO) -> Iterator[Line]:
    """The lines of a file that are not blank; a byte order mark at its beginning is no part of it."""
    for number in count(1):
        raw = file.readline(MAX_LINE_BYTES + 1)
        if not raw:
            return
        if number == 1:
            raw = raw.removeprefix(BOM)
        size = len(raw.rstrip(b"\r\n"))
        if size > MAX_LINE_BYTES:
            raw = raw[:KEPT_BYTES]
            size += _skip_rest(file)
        if raw.strip():
            yield Line(number, raw.strip(), size)


def _skip_rest(file: BinaryIO) -> int:
    """Read to the end of the line; how many bytes that was."""
    size = 0
    while rest := file.readline(KEPT_BYTES):
        size += len(rest.rstrip(b"\r\n"))
        if rest.endswith(b"\n"):
            break
    return size


def chunks(items: Iterable[Line]) -> Iterator[list[Line]]:
    """The same in pieces of at most CHUNK_LINES, and CHUNK_BYTES where a single line is no longer."""
    chunk: list[Line] = []
    size = 0
    for item in items:
        if chunk and (len(chunk) == CHUNK_LINES or size + len(item.raw) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += len(item.raw)
    if chunk:
        yield chunk


def id_of(*parts: bytes) -> UUID:
    """The same id for the same bytes, so that what is done twice is one row."""
    digest = sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
    return UUID(bytes=digest[:16], version=5)
