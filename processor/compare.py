"""A row beside a store's record of it: the one place that says what "equal" means. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from processor.errors import RowRejected
from processor.rows import Row
from processor.stores.base import Record
from processor.tables.base import Projection, View
from processor.vector import Vector, hash_text

HELD_BACK: Final = "a store refused the newest change of this row, so none shows it: aegis dlq list"


class State(StrEnum):
    """What a record is, judged by its row."""

    OK = "ok"
    MISSING = "missing"
    STALE = "stale"
    ORPHAN = "orphan"
    NOT_PROJECTED = "not_projected"


@dataclass(frozen=True)
class Comparison:
    """The judgement of one record.

    Attributes:
        differences: field -> (as PostgreSQL wants it, as the store has it).
        reason: what else there is to say.
    """

    state: State
    differences: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    reason: str | None = None


def compare(
    projection: Projection, view: View, row: Row | None, record: Record | None, model: str | None = None
) -> Comparison:
    """Compare every field, the fingerprint, and what the vector was made of; `model` is the vectors' one.

    There is no fence here: a change that is on its way to the store shows as a difference.
    """
    if row is None or not projection.predicate(row):
        return Comparison(State.NOT_PROJECTED if record is None else State.ORPHAN)
    try:
        wanted = projection.body(view, row)
        text = projection.text(view, row)
    except RowRejected as error:
        state = State.MISSING if record is None else State.STALE
        return Comparison(state, reason=f"no store can hold this row: {error}")
    if record is None:
        if view.optional:
            return Comparison(State.OK, reason="no entry: it expired, and readers load the row instead")
        return Comparison(State.MISSING)
    pairs = {name: (value, record.body.get(name)) for name, value in wanted.items()}
    pairs["fingerprint"] = (projection.fingerprint(view, row), record.stamp.contents)
    if text is not None:
        pairs |= _vector_pairs(text, record.vector, model)
    differences = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    reason = HELD_BACK if record.stamp.is_held_back else None
    return Comparison(State.STALE if differences else State.OK, differences, reason)


def _vector_pairs(text: str, vector: Vector | None, model: str | None) -> dict[str, tuple[Any, Any]]:
    if vector is None:
        return {"vector": ("as it was made", "absent or changed")}
    return {
        "vector's text": (hash_text(text), vector.text_hash),
        "vector's model": (model, vector.model),
    }
