"""What an OCR engine has read, one image a line (JSON), as it comes out of a file. Pure.

    {"image_path": "in/1.png", "public_path": "out/1.png",
     "text_boxes": [{"text": "서울", "confidence": 0.97, "bbox": [0, 0, 10, 10]}]}

`error` instead of `text_boxes`: why the engine could not read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intake.lines import Line
from intake.refusals import Refusal

MAX_LINE_BYTES: Final = 1024 * 1024
"""Of a line: thousands of text boxes. What is longer is no image."""
CHUNK_IMAGES: Final = 200
CHUNK_BYTES: Final = 8 * 1024 * 1024
"""At most so much at once: 1,000 images of five text boxes are five chunks, about 25 statements."""

Path = Annotated[str, Field(min_length=1, max_length=500)]


class _TextBox(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    text: str
    confidence: float = Field(ge=0, le=1, allow_inf_nan=False)
    bbox: list[Any] | dict[str, Any]


class _Named(BaseModel):
    image_path: Path


class _Line(_Named):
    model_config = ConfigDict(extra="forbid", strict=True)

    public_path: Path | None = None
    error: str | None = Field(None, min_length=1)
    text_boxes: list[_TextBox] = []


@dataclass(frozen=True, slots=True)
class Image:
    """An image, or why it could not be read (`error`); `line` counts from 1."""

    id: UUID
    line: int
    path: str | None
    public_path: str | None = None
    error: str | None = None
    text_boxes: tuple[dict[str, Any], ...] = ()

    def failed(self, reason: str, *, nameless: bool = False) -> Image:
        """The same without what was read of it; nameless: its path is taken, or no text."""
        path = None if nameless else self.path
        return replace(self, path=path, public_path=None, error=reason, text_boxes=())


def read_image(line: Line) -> Image:
    """One line of the file; never raises: what is wrong with it is in `error`, by the field's name."""
    nothing = Image(uuid4(), line.number, None)
    if line.size > MAX_LINE_BYTES:
        return nothing.failed(f"DP_1004: longer than {MAX_LINE_BYTES} bytes")
    text = line.text()
    if isinstance(text, Refusal):
        return nothing.failed(f"{text.code}: {text.reason}")
    try:
        found = _Line.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        unknown = first["type"] == "extra_forbidden"  # its name may be anything
        field = ".".join(map(str, first["loc"][: -1 if unknown else None])) or "line"
        return replace(nothing, path=_name(text)).failed(f"DP_2001: {field}: {first['msg']}")
    boxes = tuple(box.model_dump() for box in found.text_boxes)
    image = Image(nothing.id, line.number, found.image_path, found.public_path, found.error, boxes)
    return image if found.error is None else image.failed(found.error)


def _name(text: str) -> str | None:
    """The image's path, where a line is wrong in something else only."""
    try:
        return _Named.model_validate_json(text).image_path
    except ValidationError:
        return None


def chunks(items: Iterable[Line]) -> Iterator[list[Image]]:
    """Images in the order of the file, in bounded pieces."""
    chunk: list[Image] = []
    size = 0
    for line in items:
        chunk.append(read_image(line))
        size += min(line.size, MAX_LINE_BYTES)
        if len(chunk) == CHUNK_IMAGES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
