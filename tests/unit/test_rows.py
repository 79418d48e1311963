"""Values from change events reach one form, and dates of any year survive."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql as pg

from processor.rows import (
    DATE_INFINITY,
    PLACEHOLDER,
    TIMESTAMP_INFINITY,
    UNAVAILABLE,
    Kind,
    civil_from_days,
    days_from_civil,
    format_date,
    format_timestamp,
    from_debezium,
    kind_of,
    parse_timestamp,
    row_from_debezium,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.dates())
def test_days_agree_with_pythons_calendar(day: date) -> None:
    days = (day - date(1970, 1, 1)).days
    assert days_from_civil(day.year, day.month, day.day) == days
    assert format_date(days) == day.isoformat()


@given(st.integers(-5_000 * 366, 300_000 * 366))
def test_days_and_calendar_are_inverse_for_every_year_of_postgresql(days: int) -> None:
    assert days_from_civil(*civil_from_days(days)) == days


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_timestamp_survives_parsing_and_formatting(moment: datetime) -> None:
    text = moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    micros = parse_timestamp(text)
    assert micros == (moment - EPOCH) // timedelta(microseconds=1)
    assert format_timestamp(micros) == text


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("+20000-01-01T00:00:00Z", days_from_civil(20000, 1, 1) * 86_400_000_000),
        ("-0043-03-15T00:00:00Z", days_from_civil(-43, 3, 15) * 86_400_000_000),
        ("infinity", TIMESTAMP_INFINITY),
        ("-infinity", -TIMESTAMP_INFINITY),
    ],
)
def test_timestamps_of_every_shape_are_read(text: str, micros: int) -> None:
    assert parse_timestamp(text) == micros


@pytest.mark.parametrize("text", ["", "yesterday", "2025-01-01", "2025-01-01T00:00:00+09:00"])
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a UTC timestamp"):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("kind", "sent", "kept"),
    [
        (Kind.NUMERIC, "2.50", "2.50"),
        (Kind.NUMERIC, "NAN", "NaN"),
        (Kind.NUMERIC, "NEGATIVE_INFINITY", "-Infinity"),
        (Kind.DATE, 20_000, 20_000),
        (Kind.DATE, 2_146_033_979, DATE_INFINITY),
        (Kind.DATE, -2_147_472_691, -DATE_INFINITY),
        (Kind.DATE, -622_191_234, DATE_INFINITY),
        (Kind.DATE, -625_821_272, -DATE_INFINITY),
        (Kind.TEXT_LIST, ["a", None, ""], ["a", None, ""]),
        (Kind.TEXT_LIST, [], []),
        (Kind.TEXT_LIST, [PLACEHOLDER], UNAVAILABLE),
        (Kind.TEXT, PLACEHOLDER, UNAVAILABLE),
        (Kind.TEXT, None, None),
        (Kind.BOOLEAN, False, False),
    ],
)
def test_each_kind_of_value_is_brought_to_its_form(kind: Kind, sent: object, kept: object) -> None:
    assert from_debezium(kind, sent) == kept


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (Kind.DATE, "2025-01-01"),
        (Kind.FLOAT, "0.5"),
        (Kind.NUMERIC, b"\x01"),
        (Kind.NUMERIC, "abc"),
        (Kind.TIMESTAMP, 123),
        (Kind.TEXT_LIST, "11,26"),
        (Kind.TEXT_LIST, [1, 2]),
        (Kind.BOOLEAN, "t"),
        (Kind.INTEGER, "7"),
        (Kind.INTEGER, True),
        (Kind.TEXT, 7),
    ],
)
def test_a_value_of_a_column_whose_type_changed_is_refused(kind: Kind, sent: object) -> None:
    with pytest.raises(ValueError):
        from_debezium(kind, sent)


def test_unknown_fields_are_left_out_and_missing_ones_are_missing() -> None:
    row = row_from_debezium({"a": Kind.TEXT, "b": Kind.TEXT}, {"a": "x", "c": "new column"})
    assert row == {"a": "x"}


@pytest.mark.parametrize(
    ("column_type", "kind"),
    [
        (sa.Text(), Kind.TEXT),
        (sa.Uuid(), Kind.TEXT),
        (pg.JSONB(), Kind.TEXT),
        (sa.BigInteger(), Kind.INTEGER),
        (sa.Double(), Kind.FLOAT),
        (sa.Numeric(5, 2), Kind.NUMERIC),
        (sa.Boolean(), Kind.BOOLEAN),
        (sa.Date(), Kind.DATE),
        (sa.DateTime(timezone=True), Kind.TIMESTAMP),
        (pg.ARRAY(sa.Text()), Kind.TEXT_LIST),
    ],
)
def test_every_column_type_has_its_kind(column_type: sa.types.TypeEngine[object], kind: Kind) -> None:
    assert kind_of(sa.Column("c", column_type)) is kind


@pytest.mark.parametrize("column_type", [pg.ARRAY(sa.Numeric()), sa.LargeBinary()])
def test_a_type_that_cannot_be_captured_is_refused(column_type: sa.types.TypeEngine[object]) -> None:
    with pytest.raises(TypeError, match="cannot be captured"):
        kind_of(sa.Column("c", column_type))
