"""Lines of a file of images: what is good is taken as it is, what is not says why, by the field's name."""

from __future__ import annotations

import json
from codecs import BOM_UTF8 as BOM
from io import BytesIO
from typing import Any

import pytest

from intake.images import CHUNK_BYTES, CHUNK_IMAGES, MAX_LINE_BYTES, Image, chunks, read_image
from intake.lines import Line, lines

BOX = {"text": "서울", "confidence": 0.5, "bbox": [0, 0, 10, 10]}
IMAGE: dict[str, Any] = {"image_path": "in/1.png", "public_path": "out/1.png", "text_boxes": [BOX]}


def line(**changes: Any) -> bytes:
    return json.dumps(IMAGE | changes, ensure_ascii=False).encode()


def read(number: int, raw: bytes) -> Image:
    return read_image(Line(number, raw, len(raw)))


def test_a_good_line_is_taken_as_it_is() -> None:
    image = read(7, line())
    assert (image.line, image.path, image.public_path, image.error) == (7, "in/1.png", "out/1.png", None)
    assert image.text_boxes == (BOX,)


@pytest.mark.parametrize("changes", [{"confidence": 0}, {"confidence": 1}, {"text": ""}, {"bbox": {"x": 1}}])
def test_the_edges_of_a_text_box_are_allowed(changes: dict[str, Any]) -> None:
    assert read(1, line(text_boxes=[BOX | changes])).error is None


def test_what_the_engine_could_not_read_has_its_words_and_no_boxes() -> None:
    image = read(1, line(error="blurred"))
    assert (image.path, image.error, image.text_boxes) == ("in/1.png", "blurred", ())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text_boxes": [BOX, BOX | {"confidence": 1.2}]}, "text_boxes.1.confidence: "),
        ({"text_boxes": [BOX | {"confidence": -0.1}]}, "text_boxes.0.confidence: "),
        ({"text_boxes": [BOX | {"confidence": float("nan")}]}, "text_boxes.0.confidence: "),
        ({"text_boxes": [BOX | {"confidence": "0.5"}]}, "text_boxes.0.confidence: "),
        ({"text_boxes": [{"text": "x", "confidence": 1}]}, "text_boxes.0.bbox: Field required"),
        ({"text_boxes": [BOX | {"text": None}]}, "text_boxes.0.text: "),
        ({"public_path": "x" * 501}, "public_path: "),
        ({"error": ""}, "error: "),
        ({"colour": "red"}, "line: Extra inputs"),
        ({"text_boxes": [BOX | {"colour": "red"}]}, "text_boxes.0: Extra inputs"),
    ],
)
def test_a_wrong_field_is_named_and_the_image_keeps_its_name(changes: dict[str, Any], reason: str) -> None:
    image = read(1, line(**changes))
    assert image.error is not None
    assert image.error.startswith(f"DP_2001: {reason}")
    assert (image.path, image.public_path, image.text_boxes) == ("in/1.png", None, ())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (line(image_path=""), "DP_2001: image_path: "),
        (line(image_path="x" * 501), "DP_2001: image_path: "),
        (line(image_path=None), "DP_2001: image_path: "),
        (b"{}", "DP_2001: image_path: Field required"),
        (b'{"image_path": "x', "DP_2001: line: Invalid JSON"),
        (b"[" * 100_000, "DP_2001: line: Invalid JSON"),
        (b"[]", "DP_2001: line: "),
        (b'{"image_path": "\xff"}', "DP_1004: not UTF-8 at byte 16"),
        (line(error="x" * MAX_LINE_BYTES), f"DP_1004: longer than {MAX_LINE_BYTES} bytes"),
    ],
)
def test_a_line_without_a_name_says_what_is_wrong_with_it(raw: bytes, reason: str) -> None:
    image = read(3, raw)
    assert image.error is not None
    assert image.error.startswith(reason)
    assert (image.line, image.path, image.text_boxes) == (3, None, ())


def test_no_value_of_a_line_is_in_its_error() -> None:
    image = read(1, line(public_path={"name": "홍길동"}))
    assert "홍길동" not in str(image.error)


def test_chunks_are_bounded_keep_the_order_and_number_the_lines_of_the_file() -> None:
    file = BytesIO(b"\n".join([BOM + line(), b"  ", *(line() for _ in range(CHUNK_IMAGES))]))
    first, second = chunks(lines(file))
    assert {image.error for image in first} == {None}
    assert [image.line for image in first] == [1, *range(3, CHUNK_IMAGES + 2)]
    assert [image.line for image in second] == [CHUNK_IMAGES + 2]
    assert list(chunks([])) == []


def test_large_lines_make_smaller_chunks() -> None:
    large = line(error="x" * (MAX_LINE_BYTES - 200))
    sizes = [len(chunk) for chunk in chunks(Line(1, large, len(large)) for _ in range(20))]
    assert sum(sizes) == 20
    assert max(sizes) * len(large) <= CHUNK_BYTES + MAX_LINE_BYTES


@pytest.mark.parametrize("size", [MAX_LINE_BYTES + 1, 17 * MAX_LINE_BYTES])
def test_after_a_line_that_is_too_long_the_next_is_read(size: int) -> None:
    file = BytesIO(b"x" * size + b"\n" + line())
    [[long, good]] = chunks(lines(file))
    assert long.error == f"DP_1004: longer than {MAX_LINE_BYTES} bytes"
    assert (good.line, good.error) == (2, None)
