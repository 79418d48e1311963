"""A file of records, line by line: bounded memory, and what cannot be text says why."""

from __future__ import annotations

import io

import pytest

from intake import lines as module
from intake.lines import KEPT_BYTES, MAX_LINE_BYTES, Line, chunks, id_of, lines
from intake.refusals import Refusal


def read(contents: bytes) -> list[Line]:
    return list(lines(io.BytesIO(contents)))


def test_lines_are_counted_from_one_and_blank_ones_are_none() -> None:
    assert read(b"a\n\n  \r\nb\r\nc") == [Line(1, b"a", 1), Line(4, b"b", 1), Line(5, b"c", 1)]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert read(b"\xef\xbb\xbf{}\n") == [Line(1, b"{}", 2)]


def test_text_is_read_as_utf_8() -> None:
    assert Line(1, "가".encode(), 3).text() == "가"
    assert Line(1, b"a\xff", 2).text() == Refusal("DP_1004", None, "not UTF-8 at byte 1")


class Counting(io.BytesIO):
    """Remembers the longest piece that was read at once."""

    longest = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        piece = super().readline(size)
        self.longest = max(self.longest, len(piece))
        return piece


@pytest.mark.parametrize("end", [b"\n", b""])
def test_of_a_line_that_is_too_long_only_the_beginning_is_kept(end: bytes) -> None:
    size = 3 * MAX_LINE_BYTES + 5
    file = Counting(b"first\n" + b"x" * size + end + (b"last" if end else b""))
    _, long, *rest = lines(file)
    assert (long.number, long.size, long.raw) == (2, size, b"x" * KEPT_BYTES)
    assert long.text() == Refusal("DP_1004", None, f"longer than {MAX_LINE_BYTES} bytes ({size})")
    assert [line.raw for line in rest] == ([b"last"] if end else [])
    assert file.longest == MAX_LINE_BYTES + 1


def test_a_line_of_exactly_the_limit_is_read() -> None:
    [line] = read(b"x" * MAX_LINE_BYTES + b"\n")
    assert line.text() == "x" * MAX_LINE_BYTES


def test_pieces_are_bounded_in_lines_and_bytes_and_keep_all_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_LINES", 3)
    monkeypatch.setattr(module, "CHUNK_BYTES", 10)
    sizes = [1, 1, 1, 1, 9, 2, 20, 1]
    made = [Line(n, b"x" * size, size) for n, size in enumerate(sizes, 1)]
    pieces = list(chunks(made))
    assert [line for piece in pieces for line in piece] == made
    assert [[line.size for line in piece] for piece in pieces] == [[1, 1, 1], [1, 9], [2], [20], [1]]


def test_the_same_bytes_have_the_same_id_and_others_another() -> None:
    assert id_of(b"a", b"b") == id_of(b"a", b"b")
    assert len({id_of(b"a", b"b"), id_of(b"ab", b""), id_of(b"ab"), id_of(b"b", b"a")}) == 4
