"""The model's tables: items, in two stores by themselves and in a third together with their tags."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import sqlalchemy as sa
from fastavro import parse_schema, schemaless_writer

from processor.change import Op
from processor.keys import kafka_key
from processor.letters import letter_topic
from processor.refresh import refresh_topic
from processor.routes import make_routes
from processor.rows import Kind
from processor.tables import by_topic
from processor.tables.base import Dependency, FieldType, Joined, Projection, Text, View

PARTITIONS = 2
ITEM_KEYS = ("1", "4")
"""On partitions 1 and 0, as the tags' keys are on 0 and 1: an item and its tag have different owners."""
TAG_KEYS = ("t", "w")

_METADATA = sa.MetaData()
ITEM_TABLE = sa.Table(
    "items",
    _METADATA,
    sa.Column("item_id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("shown", sa.Boolean, nullable=False),
)
TAG_TABLE = sa.Table(
    "tags",
    _METADATA,
    sa.Column("tag_id", sa.Text, primary_key=True),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
)
ITEMS = Projection(
    model=ITEM_TABLE,
    only_when={"shown": True},
    views=(
        View(
            "vectors", "items", {"size": FieldType.LONG}, text=Text(("name",), lambda row: str(row["name"]))
        ),
        View("index", "items", {"name": FieldType.KEYWORD, "size": FieldType.LONG}),
        View("joined", "items", {"name": FieldType.KEYWORD, "labels": FieldType.KEYWORDS}),
    ),
    joined={"labels": Joined(Kind.TEXT_LIST, sa.null())},
    dependencies=(Dependency("public.tags", {"item_id": "item_id"}),),
)
TAGS = Projection(model=TAG_TABLE, only_when={}, views=())
PROJECTIONS = {"items": ITEMS, "tags": TAGS}

TOPICS = by_topic("model", tuple(PROJECTIONS.values()))
ROUTES = make_routes(TOPICS, dict.fromkeys(TOPICS, PARTITIONS))
TOPIC_OF = {projection.name: topic for topic, projection in TOPICS.items()}
PLACES = [(topic, n) for name in TOPICS for topic in (name, refresh_topic(name)) for n in range(PARTITIONS)]
LETTER_PLACES = [(letter_topic(name), n) for name in TOPICS for n in range(PARTITIONS)]

_TYPES = {Kind.TEXT: "string", Kind.INTEGER: "long", Kind.BOOLEAN: "boolean"}


def _envelope(projection: Projection) -> Any:
    fields = [
        {"name": column.name, "type": _TYPES[projection.kinds[column.name]]}
        for column in projection.table.columns
    ]
    row = {"type": "record", "name": "Value", "fields": fields}
    source = [
        {"name": "sequence", "type": "string"},
        {"name": "lsn", "type": "long"},
        {"name": "txId", "type": ["null", "long"]},
    ]
    members = [
        {"name": "before", "type": ["null", row]},
        {"name": "after", "type": ["null", "Value"]},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": source}},
        {"name": "op", "type": "string"},
    ]
    return parse_schema({"type": "record", "name": f"{projection.name}.Envelope", "fields": members})


_IDS = {name: number for number, name in enumerate(PROJECTIONS, 1)}
_ENVELOPES = {name: _envelope(projection) for name, projection in PROJECTIONS.items()}


class Schemas:
    """The registry's answers."""

    def schema(self, schema_id: int) -> Any:
        return next(_ENVELOPES[name] for name, number in _IDS.items() if number == schema_id)

    def close(self) -> None:
        pass


def row_key(table: str, key: str) -> bytes:
    """The bytes of a row's key in Kafka."""
    columns = PROJECTIONS[table].key_columns
    return kafka_key(columns, {columns[0]: key})


def encode(
    table: str, op: Op, before: Any, after: Any, commit: int | None, lsn: int, xid: int | None
) -> bytes:
    """A change event as Debezium writes it; positions are LSNs, `xid` has 32 bits."""
    sequence = json.dumps([None if commit is None else str(commit), str(lsn)])
    source = {"sequence": sequence, "lsn": lsn, "txId": xid}
    out = io.BytesIO(struct.pack(">bI", 0, _IDS[table]))
    out.seek(0, io.SEEK_END)
    schemaless_writer(
        out, _ENVELOPES[table], {"before": before, "after": after, "source": source, "op": op.value}
    )
    return out.getvalue()
