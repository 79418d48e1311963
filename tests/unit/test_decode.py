"""A Kafka record becomes a Change, a Poison with its reason, or nothing."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.change import Change, Message, Op, Poison, Source, Truncation
from processor.decode import Decoder
from processor.errors import SourceError
from processor.refresh import Command, Refresh, Sweep, refresh_topic
from processor.registry import UnknownSchema
from processor.rows import UNAVAILABLE
from tests.unit.samples import ENVELOPE_SCHEMA, POLICIES, TOPIC, Schemas, envelope, message, row, sent_row

decoder = Decoder(Schemas(), {TOPIC: POLICIES})


def decoded(message: Message) -> Change:
    change = decoder.decode(message)
    assert isinstance(change, Change)
    return change


def reason(message: Message) -> str:
    poison = decoder.decode(message)
    assert isinstance(poison, Poison)
    assert poison.message is message
    return str(poison.error)


def test_a_streamed_update_is_decoded_with_both_images_and_its_place_in_the_log() -> None:
    value = envelope("u", sent_row(title="전"), sent_row(title="후"), '["90","100"]', 100, 7)
    change = decoded(message(value))
    assert (change.op, change.key, change.table) == (Op.UPDATE, "POL-1", "policies")
    assert change.before == row(title="전")
    assert change.after == row(title="후")
    assert change.source == Source(lsn=100, last_commit_lsn=90, xid=7)
    assert change.source.position == 90
    assert not change.of_initial_snapshot


def test_a_row_of_the_initial_snapshot_is_known_by_its_missing_commit() -> None:
    change = decoded(message(envelope("r", None, sent_row(), '[null,"100"]', 100, 7)))
    assert change.of_initial_snapshot
    assert (change.source.position, change.source.farthest) == (100, 100)


def test_a_row_of_a_later_snapshot_has_no_position_of_its_own() -> None:
    change = decoded(message(envelope("r", None, sent_row(), '["90","90"]', None, None)))
    assert not change.of_initial_snapshot
    assert change.source == Source(lsn=90, last_commit_lsn=90, xid=None)


def test_a_64_bit_transaction_id_keeps_its_low_32_bits() -> None:
    change = decoded(message(envelope("c", None, sent_row(), '["90","100"]', 100, (1 << 32) + 5)))
    assert change.source.xid == 5


def test_a_delete_takes_its_key_from_the_message_key_and_never_from_the_before_image() -> None:
    value = envelope("d", sent_row("WRONG"), None, '["90","100"]', 100, 7)
    change = decoded(message(value, key="정책 1"))
    assert (change.op, change.key, change.after) == (Op.DELETE, "정책 1", None)


def test_a_tombstone_is_nothing() -> None:
    assert decoder.decode(message(None)) is None


def test_a_toast_placeholder_is_decoded_to_the_sentinel() -> None:
    value = envelope(
        "u",
        None,
        sent_row(content="__debezium_unavailable_value", target_regions=["__debezium_unavailable_value"]),
        '["90","100"]',
        100,
        7,
    )
    after = decoded(message(value)).after
    assert after is not None
    assert after["content"] is UNAVAILABLE
    assert after["target_regions"] is UNAVAILABLE
    assert after["title"] == "청년 창업 특례 보증"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "magic byte"),
        (b"{}", "magic byte"),
        (b"\x00\x00\x00\x00\x01", "not Avro of its schema"),
        (envelope("u", None, sent_row(), '["90","100"]', 100, 7)[:-40], "not Avro of its schema"),
        (envelope("x", None, sent_row(), '["90","100"]', 100, 7), "unknown operation 'x'"),
        (envelope("u", None, None, '["90","100"]', 100, 7), "without an after-image"),
        (envelope("u", None, sent_row(created_at="soon"), '["90","100"]', 100, 7), "not a UTC timestamp"),
        (envelope("u", None, sent_row(), "nonsense", 100, 7), "not a pair of positions"),
    ],
)
def test_bad_bytes_are_poison_with_their_reason(value: bytes, words: str) -> None:
    assert words in reason(message(value))


def test_a_change_without_a_key_is_poison() -> None:
    value = envelope("c", None, sent_row(), '["90","100"]', 100, 7)
    assert "without a key" in reason(message(value, key=None))


@given(st.binary(max_size=200))
def test_no_bytes_whatever_stop_the_decoder(value: bytes) -> None:
    assert not isinstance(decoder.decode(message(value)), Change)
    decoder.decode(message(b"\x00\x00\x00\x00\x01" + value))


def test_an_unknown_schema_is_the_records_fault_a_silent_registry_is_not() -> None:
    class Unknown:
        def schema(self, schema_id: int) -> object:
            raise UnknownSchema(f"schema id {schema_id}")

    class Silent:
        def schema(self, schema_id: int) -> object:
            raise SourceError("no answer")

    value = envelope("c", None, sent_row(), '["90","100"]', 100, 7)
    assert isinstance(Decoder(Unknown(), {TOPIC: POLICIES}).decode(message(value)), Poison)
    with pytest.raises(SourceError):
        Decoder(Silent(), {TOPIC: POLICIES}).decode(message(value))


def test_each_message_is_read_with_the_schema_it_was_written_with() -> None:
    import copy

    grown = copy.deepcopy(ENVELOPE_SCHEMA)
    grown["fields"][0]["type"][1]["fields"].append({"name": "added", "type": "string"})  # type: ignore[index]
    both = Decoder(Schemas({1: ENVELOPE_SCHEMA, 2: grown}), {TOPIC: POLICIES})
    import io
    import struct

    from fastavro import schemaless_writer

    out = io.BytesIO(struct.pack(">bI", 0, 2))
    out.seek(5)
    after = {**sent_row(), "added": "new"}
    source = {"sequence": '["90","100"]', "lsn": 100, "txId": 7}
    schemaless_writer(
        out, Schemas({2: grown}).schema(2), {"before": None, "after": after, "source": source, "op": "u"}
    )
    old = both.decode(message(envelope("u", None, sent_row(), '["90","100"]', 100, 7)))
    new = both.decode(message(out.getvalue()))
    assert isinstance(old, Change)
    assert isinstance(new, Change)
    assert old.after == new.after == row()


def test_truncate_names_no_row_but_its_transaction() -> None:
    raw = message(envelope("t", None, None, '["90","100"]', 100, 7), key=None)
    assert decoder.decode(raw) == Truncation(raw, 7)


def command(value: bytes, key: str | None = "POL-1") -> Message:
    return dataclasses.replace(message(value, key), topic=refresh_topic(TOPIC))


def test_a_command_about_a_row() -> None:
    value = Command(reason="by hand", stores=frozenset({"redis"}), force=True, xid=7).to_bytes()
    raw = command(value)
    refresh = decoder.decode(raw)
    assert refresh == Refresh(
        raw,
        "POL-1",
        {"policy_id": "POL-1"},
        {(raw.topic, 0): 0},
        frozenset({"redis"}),
        force=True,
        xids=frozenset({7}),
    )


def test_a_command_to_sweep_needs_no_key() -> None:
    raw = command(Command(reason="TRUNCATE", sweep=True, xid=7).to_bytes(), key=None)
    assert decoder.decode(raw) == Sweep(raw, None, frozenset({7}))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"junk", "not a refresh command"),
        (b"{}", "reason: Field required"),
        (b'{"reason": "r", "xid": -1}', "xid: Input should be greater than or equal to 0"),
        (b'{"reason": "r", "stores": 5}', "stores"),
        (Command(reason="r").to_bytes(), "without a key"),
    ],
)
def test_a_bad_command_is_poison_with_its_reason(value: bytes, words: str) -> None:
    assert words in reason(command(value, key=None))
