"""A record made of several tables: any change of any of them shows in it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from processor.rows import Kind
from processor.settings import Settings
from processor.tables.base import Dependency, FieldType, Joined, Projection, Text, View
from tests.integration.own_tables import OwnTables, own_tables

METADATA = sa.MetaData()
PARENTS = sa.Table(
    "joined_parent",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("title", sa.Text),
    sa.Column("shown", sa.Boolean, nullable=False),
)
CHILDREN = sa.Table(
    "joined_child",
    METADATA,
    sa.Column("parent", sa.Uuid, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("weight", sa.Integer, nullable=False),
)
PATHS = sa.func.array(
    sa.select(CHILDREN.c.path)
    .where(CHILDREN.c.parent == PARENTS.c.id)
    .order_by(CHILDREN.c.weight.desc(), sa.collate(CHILDREN.c.path, "C"))
    .correlate(PARENTS)
    .scalar_subquery(),
    type_=ARRAY(sa.Text),
)
FIELDS = {"id": FieldType.KEYWORD, "title": FieldType.KOREAN}
WITH_PATHS = {**FIELDS, "paths": FieldType.KEYWORDS}
PARENT = Projection(
    model=PARENTS,
    only_when={"shown": True},
    views=(
        View("milvus", "joined_parent", FIELDS, text=Text(("title",), lambda row: str(row["title"]))),
        View("neo4j", "JoinedParent", FIELDS),
        View("elasticsearch", "joined-parent", WITH_PATHS),
        View("redis", "joined_parent", WITH_PATHS, invalidates=("joined_paths:{paths}",)),
    ),
    joined={"paths": Joined(Kind.TEXT_LIST, PATHS)},
    dependencies=(Dependency("public.joined_child", {"id": "parent"}),),
)
CHILD = Projection(model=CHILDREN, only_when={}, views=())
ONE, TWO, THREE = (UUID(int=n) for n in (1, 2, 3))


@pytest.fixture
def tables(pipeline: sa.Engine, settings: Settings) -> Iterator[OwnTables]:
    with own_tables(settings, pipeline, [PARENT, CHILD]) as own:
        yield own


def parent(key: UUID, **changes: object) -> dict[str, object]:
    return {"id": key, "title": f"문서 {key.int}", "shown": True, **changes}


def child(key: UUID, path: str, weight: int = 1) -> dict[str, object]:
    return {"parent": key, "path": path, "weight": weight}


def paths(tables: OwnTables) -> dict[str, object]:
    """What readers of the index find, once all stores equal the tables."""
    tables.process()
    records = tables.assert_equal()["joined_parent"]["elasticsearch"]
    return {key: record.body["paths"] for key, record in records.items()}


def test_a_record_follows_the_changes_of_every_table_that_it_is_made_of(tables: OwnTables) -> None:
    first, second, third = map(str, (ONE, TWO, THREE))
    tables.execute(
        sa.insert(PARENTS).values([parent(ONE), parent(TWO), parent(THREE, shown=False)]),
        sa.insert(CHILDREN).values([child(ONE, "정책/창업"), child(ONE, "정책/금융", 2), child(THREE, "x")]),
    )
    assert paths(tables) == {first: ["정책/금융", "정책/창업"], second: []}
    tables.execute(sa.insert(CHILDREN).values(child(TWO, "정책/고용")))
    tables.execute(sa.update(CHILDREN).where(CHILDREN.c.path == "정책/창업").values(weight=3))
    assert paths(tables) == {first: ["정책/창업", "정책/금융"], second: ["정책/고용"]}
    tables.execute(sa.update(CHILDREN).where(CHILDREN.c.path == "정책/창업").values(parent=TWO))
    tables.execute(sa.update(PARENTS).where(PARENTS.c.id == ONE).values(title="새 제목"))
    assert paths(tables) == {first: ["정책/금융"], second: ["정책/창업", "정책/고용"]}
    tables.execute(sa.update(PARENTS).values(shown=sa.not_(PARENTS.c.shown)))
    assert paths(tables) == {third: ["x"]}
    tables.execute(sa.update(PARENTS).values(shown=True), sa.delete(CHILDREN).where(CHILDREN.c.parent == TWO))
    assert paths(tables) == {first: ["정책/금융"], second: [], third: ["x"]}
    tables.execute(sa.text("TRUNCATE joined_child"))
    assert paths(tables) == {first: [], second: [], third: []}
    tables.execute(sa.delete(PARENTS).where(PARENTS.c.id != ONE))
    assert paths(tables) == {first: []}
