"""Rows, change events and messages as Debezium makes them, for tests without servers."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

from fastavro import parse_schema, schemaless_writer

from processor.change import Change, Message, Op, Source
from processor.registry import UnknownSchema
from processor.rows import Row
from processor.tables import projection_of

TOPIC = "aegis.public.policies"
POLICIES = projection_of("policies")
NULLABLE_TEXT = ["null", "string"]
ROW_SCHEMA = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": "policy_id", "type": "string"},
        {"name": "title", "type": "string"},
        {"name": "content", "type": "string"},
        {"name": "issuing_organization", "type": "string"},
        {"name": "target_regions", "type": {"type": "array", "items": NULLABLE_TEXT}},
        {"name": "target_industries", "type": {"type": "array", "items": NULLABLE_TEXT}},
        {"name": "funding_type", "type": NULLABLE_TEXT},
        {"name": "funding_amount_min", "type": ["null", "long"]},
        {"name": "funding_amount_max", "type": ["null", "long"]},
        {"name": "interest_rate", "type": NULLABLE_TEXT},
        {
            "name": "application_start_date",
            "type": ["null", {"type": "int", "connect.name": "io.debezium.time.Date"}],
        },
        {"name": "application_end_date", "type": ["null", "int"]},
        {"name": "original_url", "type": NULLABLE_TEXT},
        {"name": "source_system", "type": "string"},
        {"name": "source_record_id", "type": NULLABLE_TEXT},
        {"name": "status", "type": "string"},
        {"name": "is_active", "type": "boolean"},
        {"name": "quality_score", "type": "double"},
        {"name": "created_at", "type": "string"},
        {"name": "updated_at", "type": "string"},
    ],
}
SOURCE_SCHEMA = {
    "type": "record",
    "name": "Source",
    "fields": [
        {"name": "sequence", "type": NULLABLE_TEXT},
        {"name": "lsn", "type": ["null", "long"]},
        {"name": "txId", "type": ["null", "long"]},
    ],
}
ENVELOPE_SCHEMA = {
    "type": "record",
    "name": "Envelope",
    "fields": [
        {"name": "before", "type": ["null", ROW_SCHEMA]},
        {"name": "after", "type": ["null", "Value"]},
        {"name": "source", "type": SOURCE_SCHEMA},
        {"name": "op", "type": "string"},
    ],
}


class Schemas:
    """The registry's answers: one schema per id."""

    def __init__(self, schemas: dict[int, Any] | None = None) -> None:
        self.schemas = {
            number: parse_schema(json.loads(json.dumps(schema)))
            for number, schema in (schemas or {1: ENVELOPE_SCHEMA}).items()
        }

    def schema(self, schema_id: int) -> Any:
        if schema_id not in self.schemas:
            raise UnknownSchema(f"schema id {schema_id}")
        return self.schemas[schema_id]


def sent_row(key: str = "POL-1", **changes: Any) -> dict[str, Any]:
    """A row as Debezium sends it."""
    return {
        "policy_id": key,
        "title": "청년 창업 특례 보증",
        "content": "만 39세 이하 청년 창업기업의 운전자금을 보증합니다.",
        "issuing_organization": "기술보증기금",
        "target_regions": ["11", "26", "27"],
        "target_industries": ["J", "M", "N"],
        "funding_type": "guarantee",
        "funding_amount_min": 10_000_000,
        "funding_amount_max": 5_000_000_000,
        "interest_rate": "2.50",
        "application_start_date": 20_089,
        "application_end_date": 20_453,
        "original_url": None,
        "source_system": "seed",
        "source_record_id": key,
        "status": "active",
        "is_active": True,
        "quality_score": 0.92,
        "created_at": "2025-01-01T00:00:00.000001Z",
        "updated_at": "2025-01-02T00:00:00Z",
        **changes,
    }


def row(key: str = "POL-1", **changes: Any) -> Row:
    """The same row as the processor sees it."""
    from processor.rows import row_from_debezium

    return row_from_debezium(POLICIES.kinds, sent_row(key, **changes))


def envelope(op: str, before: Any, after: Any, sequence: str, lsn: int | None, xid: int | None) -> bytes:
    """A message value in the wire format, schema id 1."""
    out = io.BytesIO()
    out.write(struct.pack(">bI", 0, 1))
    source = {"sequence": sequence, "lsn": lsn, "txId": xid}
    schema = parse_schema(json.loads(json.dumps(ENVELOPE_SCHEMA)))
    schemaless_writer(out, schema, {"before": before, "after": after, "source": source, "op": op})
    return out.getvalue()


def message(value: bytes | None, key: str | None = "POL-1", offset: int = 0, partition: int = 0) -> Message:
    """A message of the policies topic."""
    raw = None if key is None else json.dumps({"policy_id": key}, ensure_ascii=False).encode()
    return Message(TOPIC, partition, offset, raw, value, (("h", b"\x00v"),), 1_700_000_000_000)


def change(
    key: str = "POL-1",
    op: Op = Op.UPDATE,
    commit: int | None = 100,
    lsn: int = 120,
    xid: int | None = 7,
    offset: int = 0,
    before: Row | None = None,
    **changes: Any,
) -> Change:
    """A decoded change."""
    after = None if op is Op.DELETE else row(key, **changes)
    source = Source(lsn, commit, xid)
    return Change(message(b"", key, offset), "policies", key, {"policy_id": key}, op, before, after, source)
