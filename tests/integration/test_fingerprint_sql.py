"""One row, one fingerprint: read from PostgreSQL, decoded from a change event, computed by PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql as pg

from processor.change import Change, Message, Op
from processor.decode import Decoder
from processor.fingerprint import fingerprint
from processor.fingerprint_sql import fingerprint_column, fingerprint_of
from processor.registry import SchemaRegistry
from processor.rows import DATE_INFINITY, TIMESTAMP_INFINITY, Kind, Row, days_from_civil
from processor.settings import Settings
from processor.source import select_rows
from processor.tables import PROJECTIONS, FieldType, Projection, View, by_topic
from processor.tables.base import Joined
from sql.migrate import upgrade
from tests.integration.path import unique
from tests.integration.records import ends, records
from tests.integration.scratch import scratch_database, scratch_roles
from tests.integration.test_second_connector import second_connector

TABLE = sa.Table(
    unique("fingerprint").replace("-", "_"),
    sa.MetaData(),
    sa.Column("key", sa.Integer, primary_key=True),
    sa.Column("words", sa.Text),
    sa.Column("short", sa.String(100)),
    sa.Column("document", pg.JSONB),
    sa.Column("id", sa.Uuid),
    sa.Column("whole", sa.BigInteger),
    sa.Column("amount", sa.Numeric),
    sa.Column("score", sa.Double),
    sa.Column("single", sa.REAL),
    sa.Column("flag", sa.Boolean),
    sa.Column("day", sa.Date),
    sa.Column("moment", sa.DateTime(timezone=True)),
    sa.Column("items", pg.ARRAY(sa.Text)),
)
VIEW = View("redis", "fingerprints", {column.name: FieldType.STORED for column in TABLE.columns})
PROJECTION = Projection(model=TABLE, only_when={}, views=(VIEW,))
FINGERPRINT = fingerprint_column(PROJECTION, VIEW)
INSERT = sa.insert(TABLE).values(
    {column.name: sa.cast(sa.bindparam(column.name, type_=sa.Text), column.type) for column in TABLE.columns}
    | {"items": sa.bindparam("items", type_=pg.ARRAY(sa.Text))}
)

UNIX_DAY: Final = 2_440_588
"""Julian day of 1970-01-01: PostgreSQL reads `J0` and later, all that it can hold."""
LAST_DAY, LAST_DAY_OF_A_TIME = 2_147_483_493, 109_203_527
IN_SNAPSHOTS = {
    days_from_civil(-4713, 11, 24): days_from_civil(4714, 11, 24),
    days_from_civil(-43, 3, 15): days_from_civil(44, 3, 15),
}
"""Debezium 3.7 loses the era of a date that it reads in a snapshot; see docs/data-model.md."""
DAY_MICROS: Final = 86_400_000_000
TEXTS = [
    "",
    "-",
    "NULL",
    "null",
    "s0:",
    "\x01\x1f\x7f",
    'it\'s \\ "x" %s :y',
    "\b\f\n\r\t/",
    "🚀𝄞",
    "\u1112\u1161\u11ab 한",
]
HOSTILE: Mapping[str, Sequence[Any]] = {
    "words": [*TEXTS, "__debezium_unavailable_valu", "가" * 350_000],
    "short": TEXTS,
    "document": [
        "null",
        '""',
        "[]",
        '{"나": [1.50, 1e2, -0.0, 12345678901234567890.10]}',
        '"\\u001f\\ud83d\\ude80\\\\"',
        "1e-400",
    ],
    "id": ["00000000-0000-0000-0000-000000000000", "ABCDEF01-2345-6789-ABCD-EF0123456789"],
    "whole": ["0", str(2**63 - 1), str(-(2**63))],
    "amount": ["NaN", "Infinity", "-Infinity", "1.50", "-0.00", "1e-10", "1e30", "1e-30", "9" * 200 + ".0"],
    "score": ["NaN", "inf", "-inf", "-0.0", "0.0", "5e-324", "-2.2e-308", "0.1", "1.7976931348623157e308"],
    "single": ["NaN", "inf", "-0.0", "0.1", "1e-45", "3.4028235e38"],
    "flag": ["true", "false"],
    "day": ["infinity", "-infinity", "J0", f"J{LAST_DAY}", "1969-12-31", "0044-03-15 BC", "10000-01-01"],
    "moment": [
        "infinity",
        "-infinity",
        "J0 00:00:00 UTC",
        f"J{LAST_DAY_OF_A_TIME} 23:59:59.999999 UTC",
        "294247-01-10 04:00:54.775807 UTC",
        "1969-12-31 23:59:59.999999 UTC",
        "2024-02-29 23:30:00.000001+09",
        "0001-01-01 00:00:00 UTC",
        "0001-12-31 23:59:59 UTC BC",
        "1911-11-11 11:11:11.1 Asia/Seoul",
    ],
    "items": [[], [""], [None], ["NULL"], ["a", None, ""], ["a,b", "{c}"], ['"', "\\"], TEXTS],
}  # fmt: skip
HOSTILE_ROWS = [
    {"key": str(key), **dict(zip(HOSTILE, values, strict=True))}
    for key, values in enumerate(zip_longest(*HOSTILE.values()), 1)
]

characters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
texts = characters | st.sampled_from(TEXTS)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | characters,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(characters, inner, max_size=3),
    max_leaves=5,
)
moments = st.tuples(st.integers(0, LAST_DAY_OF_A_TIME), st.integers(0, DAY_MICROS - 1))
values: Mapping[str, st.SearchStrategy[Any]] = {
    "words": texts,
    "short": texts,
    "document": documents.map(json.dumps),
    "id": st.uuids().map(str),
    "whole": st.integers(-(2**63), 2**63 - 1).map(str),
    "amount": st.decimals(-(10**20), 10**20).map(str) | st.decimals(-9, 9, places=2).map(str),
    "score": st.floats().map(repr),
    "single": st.floats(width=32).map(repr),
    "flag": st.booleans().map(str),
    "day": st.integers(0, LAST_DAY).map("J{}".format),
    "moment": moments.map(lambda moment: julian(*moment)),
    "items": st.lists(st.none() | texts, max_size=5),
}
rows = st.fixed_dictionaries(
    {
        name: st.none()
        | strategy
        | st.sampled_from(HOSTILE[name]).filter(lambda v: v is None or len(v) < 1000)
        for name, strategy in values.items()
    }
)
many = hypothesis_settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def julian(day: int, micros: int) -> str:
    """A time as PostgreSQL reads it."""
    seconds, fraction = divmod(micros, 1_000_000)
    return f"J{day} {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06} UTC"


def numbered(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "key": str(number)} for number, row in enumerate(given)]


@pytest.fixture(scope="module")
def table(database: sa.Engine) -> Iterator[sa.Engine]:
    TABLE.create(database)
    yield database
    TABLE.drop(database)


@pytest.fixture
def connection(table: sa.Engine) -> Iterator[sa.Connection]:
    """What a test inserts is rolled back."""
    with table.connect() as opened:
        yield opened


def both(connection: sa.Connection) -> list[tuple[Row, str]]:
    """Each row in Row form, and its fingerprint by SQL; by key."""
    query = select_rows(PROJECTION).add_columns(FINGERPRINT.label("fp")).order_by("key")
    found = [dict(row) for row in connection.execute(query).mappings()]
    return [(row, row.pop("fp")) for row in found]


@many
@given(given_rows=st.lists(rows, min_size=1, max_size=100))
def test_python_and_postgresql_compute_the_same_fingerprint(
    table: sa.Engine, given_rows: list[dict[str, Any]]
) -> None:
    with table.connect() as connection:
        connection.execute(INSERT, numbered(given_rows))
        found = both(connection)
    assert len(found) == len(given_rows)
    for row, by_sql in found:
        assert by_sql == PROJECTION.fingerprint(VIEW, row), row


def test_a_joined_column_is_part_of_it(connection: sa.Connection) -> None:
    other = TABLE.alias()
    earlier = sa.select(sa.func.array_agg(pg.aggregate_order_by(other.c.short, other.c.key)))
    joined = Joined(Kind.TEXT_LIST, earlier.where(other.c.key < TABLE.c.key).scalar_subquery())
    view = View("redis", "joined", {"short": FieldType.STORED, "earlier": FieldType.KEYWORDS})
    projection = Projection(model=TABLE, only_when={}, views=(view,), joined={"earlier": joined})
    connection.execute(INSERT, HOSTILE_ROWS)
    query = select_rows(projection).add_columns(fingerprint_column(projection, view).label("fp"))
    found = connection.execute(query.order_by(TABLE.c.key)).mappings().all()
    assert [row["earlier"] for row in found[:3]] == [None, TEXTS[:1], TEXTS[:2]]
    assert [row["fp"] for row in found] == [projection.fingerprint(view, dict(row)) for row in found]


def test_rows_that_differ_have_different_fingerprints_in_both(connection: sa.Connection) -> None:
    connection.execute(INSERT, HOSTILE_ROWS)
    each = {name: fingerprint_of([(kind, TABLE.c[name])]) for name, kind in PROJECTION.kinds.items()}
    found = connection.execute(sa.select(*map(sa.Label, each, each.values()))).mappings().all()
    for name in PROJECTION.kinds:
        assert len({row[name] for row in found}) == len({repr(row[name]) for row in HOSTILE_ROWS}), name


@pytest.mark.parametrize(
    ("column", "text", "value"),
    [
        ("day", "infinity", DATE_INFINITY),
        ("day", "-infinity", -DATE_INFINITY),
        ("day", "J0", -UNIX_DAY),
        ("day", f"J{LAST_DAY}", LAST_DAY - UNIX_DAY),
        ("moment", "infinity", TIMESTAMP_INFINITY),
        ("moment", "-infinity", -TIMESTAMP_INFINITY),
        ("moment", julian(0, 1), -UNIX_DAY * DAY_MICROS + 1),
        (
            "moment",
            julian(LAST_DAY_OF_A_TIME, 86_399_999_999),
            (LAST_DAY_OF_A_TIME - UNIX_DAY + 1) * DAY_MICROS - 1,
        ),
        ("moment", "294247-01-10 04:00:54.775807 UTC", 2**63 - 1),
    ],
)
def test_days_and_times_are_read_exactly_as_far_as_postgresql_reaches(
    connection: sa.Connection, column: str, text: str, value: int
) -> None:
    connection.execute(INSERT, [dict.fromkeys(VIEW.columns) | {"key": "1", column: text}])
    ((row, _),) = both(connection)
    assert row[column] == value
    assert type(row[column]) is int


@pytest.mark.parametrize(
    "setting",
    [
        "TimeZone = 'Asia/Kathmandu'",
        "DateStyle = 'SQL, DMY'",
        "IntervalStyle = 'sql_standard'",
        "extra_float_digits = -15",
        "bytea_output = 'escape'",
    ],
)
def test_a_sessions_settings_change_no_fingerprint(connection: sa.Connection, setting: str) -> None:
    connection.execute(INSERT, HOSTILE_ROWS)
    before = connection.scalars(sa.select(FINGERPRINT).order_by(TABLE.c.key)).all()
    connection.execute(sa.text(f"SET LOCAL {setting}"))
    assert connection.scalars(sa.select(FINGERPRINT).order_by(TABLE.c.key)).all() == before


def test_every_nan_is_one(connection: sa.Connection) -> None:
    computed = sa.text("SELECT 'inf'::float8 - 'inf'::float8 AS x, 'NaN'::float8 AS y")
    row = computed.columns(x=sa.Double, y=sa.Double).subquery()
    pairs = [fingerprint_of([(Kind.FLOAT, column)]) for column in row.c]
    assert set(connection.execute(sa.select(*pairs)).one()) == {
        fingerprint({"x": Kind.FLOAT}, ["x"], {"x": float("nan")})
    }


def test_an_expression_index_serves_a_search_by_fingerprint(connection: sa.Connection) -> None:
    connection.execute(
        INSERT, numbered([{**HOSTILE_ROWS[5], "whole": str(number)} for number in range(2_000)])
    )
    create_index(connection, TABLE, FINGERPRINT)
    connection.execute(sa.text(f"ANALYZE {TABLE.name}"))
    _, wanted = both(connection)[1_234]
    query = sa.select(TABLE.c.key).where(FINGERPRINT.in_([wanted]))
    assert connection.scalars(query).all() == [1_234]
    plan = connection.exec_driver_sql(f"EXPLAIN {literally(query)}").scalars().all()
    assert any("by_fingerprint" in line for line in plan), plan


def create_index(connection: sa.Connection, table: sa.Table, expression: sa.ColumnElement[str]) -> None:
    connection.exec_driver_sql(f"CREATE INDEX by_fingerprint ON {table.name} (({literally(expression)}))")


def literally(statement: sa.ClauseElement) -> str:
    return str(statement.compile(dialect=pg.dialect(), compile_kwargs={"literal_binds": True}))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("projection", "view"),
    [(projection, view) for projection in PROJECTIONS for view in projection.row_views],
    ids=lambda each: each.name,
)
def test_the_fingerprint_of_a_view_of_its_row_alone_may_stand_in_an_index(
    migrated: sa.Engine, projection: Projection, view: View
) -> None:
    with migrated.connect() as connection:
        create_index(connection, projection.table, fingerprint_column(projection, view))


@pytest.fixture(scope="module")
def migrated(settings: Settings) -> Iterator[sa.Engine]:
    with scratch_roles(settings) as roles, scratch_database(settings) as engine:
        upgrade(engine, roles)
        yield engine


@pytest.fixture
def changes(table: sa.Engine, pipeline: sa.Engine, settings: Settings) -> Iterator[list[Change]]:
    """The hostile rows as the connector brings them: first by its snapshot, then as updates."""
    with second_connector(settings, table) as second:
        with table.begin() as connection:
            connection.execute(INSERT, HOSTILE_ROWS)
            connection.execute(sa.text(f"ALTER TABLE {TABLE.name} REPLICA IDENTITY FULL"))
            connection.execute(sa.text(f"GRANT SELECT ON {TABLE.name} TO {settings.postgres.debezium_user}"))
            tables = f"{TABLE.name}, cdc.heartbeat, cdc.fence"
            connection.execute(sa.text(f"CREATE PUBLICATION {second.name} FOR TABLE {tables}"))
        captured = f"public.{TABLE.name},cdc.heartbeat,cdc.fence"
        second.apply(publication__name=second.name, table__include__list=captured)
        second.caught_up()
        with table.begin() as connection:
            connection.execute(sa.text(f"UPDATE {TABLE.name} SET key = key"))
        second.caught_up()
        topic = f"{second.name}.public.{TABLE.name}"
        registry = SchemaRegistry(settings.registry)
        decoder = Decoder(registry, by_topic(second.name, (PROJECTION,)))
        beginning = {number: low for number, (low, _) in ends(settings, topic).items()}
        yield [decoded(decoder, record) for record in records(settings, topic, beginning)]
        registry.close()
        second.remove()
        with table.begin() as connection:
            connection.execute(sa.text(f"DROP PUBLICATION {second.name}"))
            connection.execute(sa.delete(TABLE))


def decoded(decoder: Decoder, record: Any) -> Change:
    place = (record.topic(), record.partition(), record.offset())
    change = decoder.decode(Message(*place, record.key(), record.value(), (), record.timestamp()[1]))
    assert isinstance(change, Change), change
    return change


def test_a_change_event_has_the_fingerprint_that_postgresql_computes(
    table: sa.Engine, changes: list[Change]
) -> None:
    with table.connect() as connection:
        found = both(connection)
    assert len(found) == len(HOSTILE_ROWS)
    for row, by_sql in found:
        read, updated = (change for change in changes if change.key == str(row["key"]))
        assert (read.op, updated.op) == (Op.READ, Op.UPDATE)
        for image in (read.after, updated.before, updated.after):
            assert image is not None
            era_lost = image is read.after and row["day"] in IN_SNAPSHOTS
            wanted = {**row, "day": IN_SNAPSHOTS[row["day"]]} if era_lost else row
            assert repr(dict(image)) == repr(wanted)
            assert (PROJECTION.fingerprint(VIEW, image) == by_sql) is not era_lost
