"""From a Kafka record to what it says: a change in Debezium's envelope, or a refresh command.

Keys are JSON. Values of changes are Avro in the Confluent wire format, those of commands JSON.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from typing import Any, Protocol

from fastavro import schemaless_reader

from processor.change import Change, Message, Op, Poison, Source, Truncation
from processor.errors import DecodeError
from processor.keys import key_text, parse_kafka_key
from processor.refresh import PREFIX, Command, Refresh, Replay, Sweep
from processor.rows import Row, row_from_debezium
from processor.tables.base import Projection

Decoded = Change | Truncation | Refresh | Sweep | Poison
_HEADER = struct.Struct(">bI")


class Schemas(Protocol):
    """What decoding needs of a schema registry."""

    def schema(self, schema_id: int) -> Any:
        """The parsed writer's schema; raises DecodeError (unknown id) or SourceError (no answer)."""
        ...


class Decoder:
    """Decodes the messages of all projected tables."""

    def __init__(self, schemas: Schemas, projections: Mapping[str, Projection]) -> None:
        """`projections` by topic."""
        self._schemas = schemas
        self._projections = projections

    def decode(self, message: Message) -> Decoded | None:
        """What the message says, a Poison with its reason, or None for a tombstone.

        Raises:
            SourceError: the registry does not answer; nothing is wrong with the message.
        """
        if message.value is None:
            return None
        try:
            if message.topic.startswith(PREFIX):
                return _command(self._projections[message.topic.removeprefix(PREFIX)], message, message.value)
            return self._change(self._projections[message.topic], message, message.value)
        except DecodeError as error:
            return Poison(message, error)

    def _change(self, projection: Projection, message: Message, value: bytes) -> Change | Truncation:
        envelope = self._envelope(value)
        op, source = _op(envelope), _source(envelope)
        if op is Op.TRUNCATE:
            return Truncation(message, source.xid)
        key = _key(projection, message)
        after = _image(projection, envelope.get("after"))
        if after is None and op is not Op.DELETE:
            raise DecodeError(f"operation {op.value!r} without an after-image")
        return Change(
            message=message,
            table=projection.name,
            key=key_text(projection.key_columns, key),
            values=key,
            op=op,
            before=_image(projection, envelope.get("before")),
            after=after,
            source=source,
        )

    def _envelope(self, value: bytes) -> dict[str, Any]:
        if len(value) < _HEADER.size or value[0] != 0:
            raise DecodeError(
                "value does not begin with the Confluent wire format's magic byte 0 and schema id"
            )
        schema = self._schemas.schema(_HEADER.unpack_from(value)[1])
        body = io.BytesIO(value)
        body.seek(_HEADER.size)
        try:
            envelope = schemaless_reader(body, schema, None)
        except Exception as error:  # fastavro raises whatever its C code meets in broken bytes
            raise DecodeError(f"value is not Avro of its schema: {type(error).__name__}: {error}") from error
        if not isinstance(envelope, dict) or "op" not in envelope or "source" not in envelope:
            raise DecodeError("value is not a Debezium envelope")
        return envelope


def _command(projection: Projection, message: Message, value: bytes) -> Refresh | Sweep:
    command = Command.from_bytes(value)
    xids = frozenset() if command.xid is None else frozenset({command.xid})
    if command.sweep:
        return Sweep(message, command.stores, xids)
    key = _key(projection, message)
    return Refresh(
        message=message,
        key=key_text(projection.key_columns, key),
        values=key,
        since=message.place,
        stores=command.stores,
        force=command.force,
        xids=xids,
        replay=_replay(command),
    )


def _replay(command: Command) -> Replay | None:
    if command.letter is None:
        return None
    return Replay(command.letter, command.replays, command.first_failed_at)


def _key(projection: Projection, message: Message) -> dict[str, Any]:
    if message.key is None:
        raise DecodeError(f"a message of {projection.name} without a key")
    try:
        return projection.check_key(parse_kafka_key(projection.key_columns, message.key))
    except ValueError as error:
        raise DecodeError(f"not a key of {projection.name}: {error}") from error


def _op(envelope: Mapping[str, Any]) -> Op:
    try:
        return Op(envelope["op"])
    except ValueError:
        raise DecodeError(f"unknown operation {envelope['op']!r}") from None


def _image(projection: Projection, record: Mapping[str, Any] | None) -> Row | None:
    if record is None:
        return None
    try:
        return row_from_debezium(projection.kinds, record)
    except (ValueError, TypeError) as error:
        raise DecodeError(f"a value of {projection.name} cannot be read: {error}") from error


def _source(envelope: Mapping[str, Any]) -> Source:
    source = envelope["source"]
    if not isinstance(source, dict):
        raise DecodeError("the envelope's source is not a record")
    try:
        sequence = json.loads(source.get("sequence") or "[null, null]")
        commit, own = (None if item is None else int(item) for item in sequence)
    except (ValueError, TypeError) as error:
        raise DecodeError(f"source.sequence {source.get('sequence')!r} is not a pair of positions") from error
    lsn = source.get("lsn")
    xid = source.get("txId")
    return Source(
        lsn=lsn if lsn is not None else own,
        last_commit_lsn=commit,
        xid=None if xid is None else xid & 0xFFFFFFFF,
    )
