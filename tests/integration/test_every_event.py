"""Events that say less than the row: TRUNCATE, unchanged long values, late snapshots, changing columns.

On tables of the tests' own, over the real connector.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from processor.delivery import Delivery
from processor.refresh import Command, request
from processor.rows import PLACEHOLDER
from processor.settings import Settings
from processor.tables.base import Edge, FieldType, Projection, Text, View
from tests.integration.own_tables import OwnTables, own_tables
from tests.integration.records import decoded, ends, records

NAME = "event_test"
TABLE = sa.Table(
    NAME,
    sa.MetaData(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text),
    sa.Column("content", sa.Text),
    sa.Column("tags", ARRAY(sa.Text)),
    sa.Column("size", sa.Integer),
)
FIELDS = {
    "id": FieldType.KEYWORD,
    "title": FieldType.KOREAN,
    "content": FieldType.STORED,
    "tags": FieldType.KEYWORDS,
    "size": FieldType.LONG,
}
SMALL = {name: FIELDS[name] for name in ("id", "title", "tags", "size")}
PROJECTION = Projection(
    model=TABLE,
    only_when={},
    views=(
        View("milvus", NAME, SMALL, text=Text(("content",), lambda row: str(row["content"] or "-"))),
        View(
            "neo4j",
            "EventTest",
            {"id": FieldType.KEYWORD, "size": FieldType.LONG},
            edges=(Edge("tags", "TAGGED", "EventTag", "name"),),
        ),
        View("elasticsearch", "event-test", FIELDS),
        View("redis", NAME, FIELDS),
    ),
)


def incompressible(seed: str, length: int = 20_000) -> str:
    """Text that PostgreSQL moves out of line (TOAST)."""
    dice = random.Random(seed)  # noqa: S311
    return "".join(chr(dice.randint(0xAC00, 0xD7A3)) for _ in range(length))


def event(key: str, **changes: object) -> dict[str, object]:
    return {
        "id": key,
        "title": f"제목 {key}",
        "content": f"본문 {key}",
        "tags": ["가", "나"],
        "size": 1,
        **changes,
    }


@pytest.fixture
def events(pipeline: sa.Engine, settings: Settings) -> Iterator[OwnTables]:
    with own_tables(settings, pipeline, [PROJECTION]) as own:
        yield own


@pytest.fixture
def narrow(pipeline: sa.Engine, settings: Settings) -> Iterator[OwnTables]:
    """With DEFAULT identity: what did not change and lies out of line does not travel."""
    with own_tables(settings, pipeline, [PROJECTION], identity="DEFAULT") as own:
        yield own


def events_of(own: OwnTables, settings: Settings) -> list[tuple[dict[str, object], str]]:
    """Every after-image in the topic, with its operation."""
    topic = own.topic(PROJECTION)
    values = [r.value() for r in records(settings, topic, dict.fromkeys(ends(settings, topic), 0))]
    envelopes = [decoded(settings, value) for value in values if value is not None]
    return [(envelope["after"], envelope["op"]) for envelope in envelopes if envelope["after"] is not None]


def test_rows_that_share_a_position_and_keys_that_change_places(events: OwnTables) -> None:
    address = events.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with (
        psycopg.connect(address) as connection,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {NAME} FROM STDIN") as copy,
    ):
        for n in range(700):
            copy.write_row((f"row {n}", f"제목 {n}", None, ["가"], n))

    def rename(old: str, new: str) -> sa.Update:
        return sa.update(TABLE).where(TABLE.c.id == old).values(id=new)

    events.execute(rename("row 0", "tmp"), rename("row 1", "row 0"), rename("tmp", "row 1"))
    events.execute(
        rename("row 2", "moved"),
        sa.insert(TABLE).values(event("row 2", title="unter dem alten Schlüssel")),
        sa.update(TABLE).where(TABLE.c.id == "moved").values(title="eins"),
        sa.update(TABLE).where(TABLE.c.id == "moved").values(title="zwei"),
        sa.delete(TABLE).where(TABLE.c.id == "row 3"),
        sa.insert(TABLE).values(event("row 3", title="wieder da")),
    )
    events.process()
    found = events.assert_equal()[NAME]["elasticsearch"]
    assert len(found) == 701
    assert {key: found[key].body["size"] for key in ("row 0", "row 1")} == {"row 0": 1, "row 1": 0}
    assert found["moved"].body["title"] == "zwei"


def test_truncate_removes_every_record_and_keeps_the_rows_that_came_after_it(events: OwnTables) -> None:
    events.execute(sa.insert(TABLE).values([event(f"row {n}") for n in range(1_200)]))
    events.process()
    assert len(events.assert_equal()[NAME]["redis"]) == 1_200
    events.execute(sa.insert(TABLE).values([event(f"late {n}") for n in range(20)]))
    events.execute(sa.text(f"TRUNCATE {NAME}"))
    events.execute(sa.insert(TABLE).values([event("row 7", title="wieder da"), event("new")]))
    events.process()
    assert set(events.assert_equal()[NAME]["milvus"]) == {"row 7", "new"}


def test_an_unchanged_long_value_is_read_again_and_never_stored_as_its_placeholder(
    narrow: OwnTables, settings: Settings
) -> None:
    long, tags = incompressible("text"), [incompressible("tags", 2_000)]
    narrow.execute(sa.insert(TABLE).values([event("a", content=long), event("b", tags=tags, content=long)]))
    narrow.process()
    first = narrow.assert_equal()[NAME]["milvus"]["a"].vector
    narrow.execute(sa.update(TABLE).values(size=2))
    narrow.execute(sa.update(TABLE).where(TABLE.c.id == "b").values(id="c"))
    narrow.process()
    found = narrow.assert_equal()[NAME]
    assert set(found["redis"]) == {"a", "c"}
    assert found["milvus"]["a"].vector == first
    sent = [image for image, _ in events_of(narrow, settings)]
    assert PLACEHOLDER in [image["content"] for image in sent]
    assert [PLACEHOLDER] in [image["tags"] for image in sent]
    assert PLACEHOLDER in [image["content"] for image in sent if image["id"] == "c"]


def test_a_row_that_really_holds_the_placeholders_text_is_stored_as_it_is(events: OwnTables) -> None:
    events.execute(sa.insert(TABLE).values(event("p", title=PLACEHOLDER, content=PLACEHOLDER)))
    events.process()
    events.execute(sa.update(TABLE).values(size=5))
    events.process()
    found = events.assert_equal()[NAME]
    assert found["elasticsearch"]["p"].body["title"] == PLACEHOLDER


def test_rows_of_an_incremental_snapshot_bring_records_to_the_present_row(
    events: OwnTables, settings: Settings
) -> None:
    events.execute(sa.insert(TABLE).values([event(f"row {n}") for n in range(50)]))
    events.process()
    events.forget_records(keep=1)
    order = {"data-collections": [PROJECTION.full_name], "type": "incremental"}
    signal = sa.text("INSERT INTO cdc.signal (id, type, data) VALUES (:id, 'execute-snapshot', :data)")
    events.execute(
        signal.bindparams(id=events.connector.name, data=json.dumps(order)),
        sa.update(TABLE).where(TABLE.c.id == "row 3").values(title="im Strom"),
    )
    # a row that the stream changes meanwhile is left out of the snapshot
    others = {f"row {n}" for n in range(50)} - {"row 3"}
    until_all = Retrying(
        retry=retry_if_result(lambda found: not found >= others),
        wait=wait_fixed(0.2),
        stop=stop_after_delay(90),
    )
    until_all(lambda: {image["id"] for image, op in events_of(events, settings) if op == "r"})
    events.process()
    assert len(events.assert_equal()[NAME]["neo4j"]) == 50


def test_a_store_that_joins_later_or_lost_everything_is_told_and_filled_by_commands(
    events: OwnTables, caplog: pytest.LogCaptureFixture
) -> None:
    events.execute(sa.insert(TABLE).values([event(f"row {n}") for n in range(50)]))
    events.process()
    assert "To fill it" not in caplog.text
    events.forget_records()
    events.process()
    assert f"To fill it: aegis refresh {NAME} --where true --stores milvus" in caplog.text
    command, topic = Command(reason="filled by hand"), events.topic(PROJECTION)
    keys = ({"id": key} for key in events.rows(PROJECTION))
    Delivery(events.settings.kafka).send([request(topic, PROJECTION, key, command) for key in keys])
    events.process()
    assert len(events.assert_equal()[NAME]["milvus"]) == 50


def test_columns_come_go_and_change_while_rows_of_both_kinds_are_in_one_batch(events: OwnTables) -> None:
    events.execute(sa.insert(TABLE).values(event("old")))
    for change in (
        "ADD COLUMN note text",
        "ADD COLUMN flag boolean NOT NULL DEFAULT true",
        "ALTER COLUMN title TYPE varchar(400)",
        "RENAME COLUMN note TO remark",
        "DROP COLUMN flag",
        "ALTER COLUMN size TYPE bigint",
    ):
        events.execute(sa.text(f"ALTER TABLE {NAME} {change}"))
        events.execute(sa.insert(TABLE).values(event(change)), sa.update(TABLE).values(size=TABLE.c.size + 1))
    events.process()
    assert len(events.assert_equal()[NAME]["redis"]) == 7
