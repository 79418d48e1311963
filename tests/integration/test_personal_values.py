"""Personal values of users are nowhere but in their rows: not in a topic, store, file, report or on a screen.

The search must be able to find something: each time it is shown to find what is published of the same users,
or what the same error says without the values.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from ops.stack.layout import load_layout
from processor.build import make_stores
from processor.database import make_engine
from processor.settings import Settings
from processor.stores.base import Remove
from processor.tables import projection_of
from sql.models import User
from sql.sealed import Sealer, open_row, seal_row
from tests.integration import dumps
from tests.integration.conftest import ROOT, aegis
from tests.integration.path import catch_up, in_kafka, joined, start_processor

USERS: sa.Table = User.__table__  # type: ignore[assignment]
SEALER = Sealer({"test": os.urandom(32)}, "test")
MARK = uuid.uuid4().hex[:10]
DEPARTMENT = f"공개부서-{MARK}"
"""What is published of them."""
CONTROL = f"control-{MARK}"
"""What an error says by itself."""
FAIL = """
import json, logging, sys
import sqlalchemy as sa
from ops import cli
from processor import log
from processor.database import engine_of
from processor.settings import load_settings
from sql.models import User

@cli.app.command()
def fail() -> None:
    row = json.load(sys.stdin)
    log.configure("test", "INFO")
    logging.getLogger("sqlalchemy.engine").setLevel("DEBUG")
    with engine_of(load_settings().postgres.url()) as engine:
        try:
            with engine.begin() as connection:
                connection.execute(sa.insert(User), row)
        except sa.exc.DBAPIError:
            logging.getLogger("processor").exception("could not write %s", row)
            raise

cli.main()
"""
"""A command of `aegis` with a defect: it writes a user who is there already."""


def person(n: int) -> dict[str, Any]:
    """Values that occur nowhere else; of each the middle, which a mask hides, is looked for."""
    row = {
        "id": uuid.uuid4(),
        "email": f"kim.seoyeon.{MARK}.{n}@personal.example",
        "name": f"남궁서연비밀{MARK}{n}호",
        "department": DEPARTMENT,
        "access_level": 2,
        "phone": f"010-{MARK}-{n:04}",
        "address": f"서울특별시 비밀로 {MARK} {n}번지 (101동)",
        "personal_info": {"주민등록": f"790314-{MARK}{n}"},
        "contact_info": {"messenger": f"@비밀대화{MARK}{n}"},
    }
    return seal_row(USERS, row, SEALER)


@dataclass
class Planted:
    """The users, and all that was said about them meanwhile."""

    people: list[dict[str, Any]]
    said: list[tuple[str, bytes]] = field(default_factory=list)
    kafka: list[tuple[str, bytes]] = field(default_factory=list)

    def secrets(self) -> list[str]:
        names = ("email", "name", "phone", "address")
        found = [str(person[name])[2:-2] for person in self.people for name in names]
        opened = [open_row(USERS, person, SEALER) for person in self.people]
        return found + [
            text
            for row in opened
            for part in ("personal_info", "contact_info")
            for text in row[part].values()
        ]

    def say(self, what: str, result: subprocess.CompletedProcess[str]) -> None:
        self.said += [
            (f"{what}: stdout", result.stdout.encode()),
            (f"{what}: stderr", result.stderr.encode()),
        ]


@pytest.fixture(scope="module")
def planted(
    pipeline: sa.Engine, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Planted]:
    """Users on their whole way, errors about them, and every command that tells of them."""
    folder = tmp_path_factory.mktemp("reports")
    planted = Planted([person(n) for n in range(4)])
    begin = dumps.kafka_ends(settings)
    processor = start_processor(folder / "processor.log")
    try:
        joined(settings)
        live(pipeline, planted)
        in_kafka(pipeline)
        fail(pipeline, settings, planted)
        catch_up(pipeline, settings)
        lose_one(settings, planted)
        report(planted, folder)
        planted.kafka = dumps.kafka(settings, begin)
    finally:
        processor.terminate()
        assert processor.wait(timeout=60) == 0
        with pipeline.begin() as connection:
            connection.execute(sa.delete(USERS).where(USERS.c.department == DEPARTMENT))
    planted.said += dumps.files(folder)
    yield planted


def live(engine: sa.Engine, planted: Planted) -> None:
    """All come, one changes, one goes."""
    with engine.begin() as connection:
        connection.execute(sa.insert(USERS), planted.people)
    first, *_, last = planted.people
    with engine.begin() as connection:
        changed = {"access_level": 3, "phone": first["phone"]}
        connection.execute(sa.update(USERS).where(USERS.c.id == first["id"]).values(changed))
        connection.execute(sa.delete(USERS).where(USERS.c.id == last["id"]))


def fail(engine: sa.Engine, settings: Settings, planted: Planted) -> None:
    """Every error that PostgreSQL answers with values of the row, as ours and as other programs meet it."""
    first = {**planted.people[0], "id": str(uuid.uuid4())}
    wrong = (
        first,
        {**first, "email": "x", "access_level": 4},
        {**first, "email": "x", "name": first["name"] * 9},
        {**first, "email": "x", "department": None},
    )
    ours = make_engine(engine.url, poolclass=sa.NullPool)
    for row in wrong:
        try:
            with ours.begin() as connection:
                connection.execute(sa.insert(USERS), row)
        except sa.exc.DBAPIError as error:
            planted.said.append((f"error of {type(error).__name__}", traceback.format_exc().encode()))
    given = {name: value for name, value in first.items() if not isinstance(value, bytes)}
    command = [sys.executable, "-c", FAIL, "fail"]
    planted.say(
        "defect",
        subprocess.run(
            command, cwd=ROOT, input=json.dumps(given), capture_output=True, text=True, check=False
        ),
    )
    # literals in the statement, by a driver of somebody else: the server's log is what could tell
    foreign = settings.postgres.url().set(drivername="postgresql").render_as_string(hide_password=False)
    columns = ("id", "email", "name", "department", "access_level")
    for row in wrong:
        literals = ", ".join("NULL" if row[name] is None else f"'{row[name]}'" for name in columns)
        statement = f"INSERT INTO users ({', '.join(columns)}) VALUES ({literals})"
        with psycopg.connect(foreign) as connection, contextlib.suppress(psycopg.Error):
            connection.execute(statement.encode())
            raise AssertionError("it was not refused")
    with psycopg.connect(foreign) as connection, contextlib.suppress(psycopg.Error):
        connection.execute(f"SELECT '{CONTROL}'::int".encode())


def lose_one(settings: Settings, planted: Planted) -> None:
    """A user's node is gone: the reconciler has to name her."""
    for store in make_stores(settings):
        for view in projection_of("users").views:
            if view.store == store.name == "neo4j":
                key = str(planted.people[1]["id"])
                store.apply(view, [Remove(key, store.stamps(view, [key])[key])])
        store.close()


def report(planted: Planted, folder: Path) -> None:
    """Every command that tells of users."""
    outputs = [f"--{kind}={folder / f'report.{kind}'}" for kind in ("json", "html", "metrics")]
    for arguments in (
        ("trace", "users", str(planted.people[0]["id"])),
        ("trace", "users", str(planted.people[1]["id"]), "--json"),
        ("status",),
        ("reconcile", "check", "--tables", "users", "--deep", *outputs),
        ("reconcile", "status"),
        ("dlq", "list"),
        ("keys", "status"),
        *([("doctor",)] if "\n  doctor" in aegis("--help").stdout else []),
    ):
        planted.say(" ".join(arguments[:2]), aegis(*arguments, check=False))


def nowhere(planted: Planted, dump: list[tuple[str, bytes]]) -> dict[str, list[str]]:
    # all of them have the mark in it: a cheap first look at what may be large
    marked = [each for each in dump if dumps.places_of(MARK, [each])]
    found = {secret: dumps.places_of(secret, marked) for secret in planted.secrets()}
    return {secret: places for secret, places in found.items() if places}


def test_no_topic_has_them(planted: Planted) -> None:
    topics = {place.split("[")[0] for place in dumps.places_of(DEPARTMENT, planted.kafka)}
    assert "kafka aegis.public.users" in topics
    assert nowhere(planted, planted.kafka) == {}


def test_no_store_has_them(planted: Planted, settings: Settings) -> None:
    dump = list(dumps.stores(settings))
    stores = {place.split()[0] for place, _ in dump}
    assert stores == {"neo4j", "elasticsearch", "redis", "milvus"}
    public = {place.split()[0] for place in dumps.places_of(DEPARTMENT, dump)}
    assert public == {"neo4j"} | ({"redis"} if settings.redis.ttl_seconds else set())
    assert nowhere(planted, dump) == {}


def test_no_other_table_has_them(planted: Planted, pipeline: sa.Engine) -> None:
    dump = list(dumps.other_tables(pipeline))
    lost = str(planted.people[1]["id"])
    assert "postgresql ops.reconcile_findings" in dumps.places_of(lost, dump)
    assert nowhere(planted, dump) == {}


def test_no_output_log_or_report_has_them(planted: Planted) -> None:
    lost = str(planted.people[1]["id"])
    told = set(dumps.places_of(lost, planted.said))
    assert {"file report.html", "file report.json", "trace users: stdout"} <= told
    assert "trace users: stdout" in dumps.places_of(DEPARTMENT, planted.said)
    told = set(dumps.places_of("duplicate key value violates unique constraint", planted.said))
    assert {"error of IntegrityError", "defect: stderr"} <= told
    assert {"reconcile check: stdout", "file processor.log", "file report.metrics"} <= {
        place for place, _ in planted.said
    }
    assert nowhere(planted, planted.said) == {}


@pytest.mark.native("reads the files of the local servers")
def test_no_file_of_the_servers_has_them(planted: Planted) -> None:
    # the rows themselves and their changes (WAL) stand in the cluster's own files
    dump = list(dumps.files(load_layout().state_dir, "postgres/cluster/base", "postgres/cluster/pg_wal"))
    assert "file logs/postgres.log" in dumps.places_of(CONTROL, dump)
    public = " ".join(dumps.places_of(DEPARTMENT, dump))
    assert "file kafka/" in public
    assert nowhere(planted, dump) == {}


def test_the_mark_is_in_every_value(planted: Planted) -> None:
    assert all(MARK in secret for secret in planted.secrets())


def test_the_values_are_where_they_belong(planted: Planted, pipeline: sa.Engine) -> None:
    """The rows had them: this is what the search looked for."""
    with pipeline.begin() as connection:
        connection.execute(sa.insert(USERS), planted.people)
        rows = connection.execute(sa.select(USERS).where(USERS.c.department == DEPARTMENT)).mappings().all()
        raw = [("row", str(dict(open_row(USERS, row, SEALER))).encode()) for row in rows]
        connection.rollback()
    assert all(dumps.places_of(secret, raw) for secret in planted.secrets())
