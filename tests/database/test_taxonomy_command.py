"""`aegis taxonomy`: a file of nodes becomes a tree, bad lines are recorded, and the tree is shown."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import sqlalchemy as sa

from intake import tree
from intake.errors import Busy, StoppedEarly
from intake.tree import TreeImport, TreeOutcome
from processor.settings import Settings
from sql.queries import QUERIES
from tests.database.own_database import own_database, rows, wait_for_lock, write_lines
from tests.integration.conftest import ROOT, aegis

NODES = (
    "SELECT canonical_path, label, version, confidence FROM taxonomy_nodes ORDER BY canonical_path, version"
)
LETTERS = "SELECT code, field, reason, attempts FROM intake_letters ORDER BY reason"


@pytest.fixture
def engine(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    with own_database(settings) as made:
        monkeypatch.setenv("POSTGRES_DB", str(made.url.database))
        yield made


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_lines(
        tmp_path / "nodes.jsonl",
        {"path": ["정책", "창업", "청년"], "confidence": 0.9},
        {"path": ["정책", "창업"], "confidence": 0.8},
        b"",
        {"path": ["주거/복지"]},
    )


def import_nodes(engine: sa.Engine, file: Path, version: str = "1.0.0") -> TreeOutcome:
    return TreeImport(engine, version, file, Event(), dry_run=False).run()


WANTED = [
    (["정책"], "정책", "1.0.0", 1.0),
    (["정책", "창업"], "창업", "1.0.0", 0.8),
    (["정책", "창업", "청년"], "청년", "1.0.0", 0.9),
    (["주거/복지"], "주거/복지", "1.0.0", 1.0),
]


def test_the_nodes_of_a_file_and_those_above_them_are_added(engine: sa.Engine, good: Path) -> None:
    told = aegis("taxonomy", "import", str(good)).stdout
    assert told == "taxonomy 1.0.0, 1 nodes added above them: 3 added, 0 already there, 0 bad\n"
    assert rows(engine, NODES) == WANTED


def test_a_second_time_changes_nothing(engine: sa.Engine, good: Path) -> None:
    import_nodes(engine, good)
    before = rows(engine, "SELECT node_id, xmin::text FROM taxonomy_nodes ORDER BY 1")
    answer = json.loads(aegis("taxonomy", "import", str(good), "--json").stdout)
    assert answer == {
        "table": "taxonomy_nodes",
        "version": "1.0.0",
        "added": 0,
        "present": 3,
        "ancestors": 0,
        "bad": 0,
        "problems": [],
        "dry_run": False,
    }
    assert rows(engine, "SELECT node_id, xmin::text FROM taxonomy_nodes ORDER BY 1") == before


def test_a_node_that_is_there_stays_as_it_is(engine: sa.Engine, good: Path, tmp_path: Path) -> None:
    import_nodes(engine, good)
    other = write_lines(tmp_path / "other.jsonl", {"path": ["정책"], "confidence": 0.1})
    outcome = import_nodes(engine, other)
    assert (outcome.added, outcome.present, outcome.bad) == (0, 1, 0)
    assert rows(engine, NODES) == WANTED


def test_another_version_is_another_tree(engine: sa.Engine, good: Path) -> None:
    import_nodes(engine, good)
    import_nodes(engine, good, "1.10.0")
    versions = rows(engine, "SELECT version, count(*) FROM taxonomy_nodes GROUP BY 1 ORDER BY 1")
    assert versions == [("1.0.0", 4), ("1.10.0", 4)]


def test_a_dry_run_says_the_same_and_leaves_nothing(engine: sa.Engine, good: Path) -> None:
    with good.open("ab") as file:
        file.write(b"\n[1]\n")
    dry = aegis("taxonomy", "import", str(good), "--dry-run", check=False)
    assert dry.returncode == 3
    assert (
        dry.stdout == "would be: taxonomy 1.0.0, 1 nodes added above them: 3 added, 0 already there, 1 bad\n"
    )
    assert "none was recorded, this was a dry run" in dry.stderr
    assert rows(engine, NODES) == rows(engine, LETTERS) == []


def test_bad_lines_are_recorded_with_their_cause_and_the_rest_is_kept(
    engine: sa.Engine, tmp_path: Path
) -> None:
    file = write_lines(
        tmp_path / "nodes.jsonl",
        {"path": ["정책"]},
        {"path": ["정책", ""]},
        {"path": ["정책", "a"], "confidence": 1.2},
        {"path": ["정책", "x" * 201]},
        {"path": ["정책", "x" * 10_000_000]},
        {"path": ["가" * 199, "나" * 199, "다" * 199, "라" * 199]},
        b'{"path": ["\xff"]}',
        b'{"path": ["a"]',
        {"path": "정책"},
        {"path": []},
        {"path": ["a\0"]},
        {"path": ["b"], "colour": "red"},
        b"x" * (17 * 1024 * 1024),
        {"path": ["정책", "끝"]},
        {"path": [chr(ord("가") + n) for n in range(400)]},
    )
    result = aegis("taxonomy", "import", str(file), check=False)
    assert result.returncode == 3
    assert "2 added, 0 already there, 13 bad" in result.stdout
    assert "next: correct them and run the same command again" in result.stderr
    assert [path for path, *_ in rows(engine, NODES)] == [["정책"], ["정책", "끝"]]
    where = "(taxonomy_nodes, line {} of nodes.jsonl)"
    labels = "path: is required: a list of up to 50 labels, each of 1 to 200 characters "
    assert {line: (code, field) for code, field, line, _ in rows(engine, LETTERS)} == {
        f"path: part 2 of the path is empty {where.format(2)}": ("DP_2001", "path"),
        f"confidence: must be 0 to 1 {where.format(3)}": ("DP_2001", "confidence"),
        "path: part 2 of the path must be text of 1 to 200 characters without NUL " + where.format(4): (
            "DP_2001",
            "path",
        ),
        "path: part 2 of the path must be text of 1 to 200 characters without NUL "
        + where.format(5)[:-1]
        + "; 1048576 bytes of its 10000024 are kept)": ("DP_2001", "path"),
        f"canonical_path: must be at most 2000 bytes {where.format(6)}": ("DP_2001", "canonical_path"),
        f"line: not UTF-8 at byte 11 {where.format(7)}": ("DP_1004", None),
        f"line: not JSON: EOF while parsing an object at column 14 {where.format(8)}": ("DP_1004", None),
        labels + where.format(9): ("DP_2001", "path"),
        f"path: a path has at most 50 labels {where.format(15)}": ("DP_2001", "path"),
        f"path: a path needs at least one label {where.format(10)}": ("DP_2001", "path"),
        "path: part 1 of the path must be text of 1 to 200 characters without NUL " + where.format(11): (
            "DP_2001",
            "path",
        ),
        f"line: a field is not one of a node: path and confidence are {where.format(12)}": ("DP_2001", None),
        "line: longer than 16777216 bytes (17825792) "
        + where.format(13)[:-1]
        + "; 1048576 bytes of its 17825792 are kept)": ("DP_1004", None),
    }
    assert (
        max(size for (size,) in rows(engine, "SELECT length(raw_record) FROM intake_letters")) == 1024 * 1024
    )


def test_a_bad_line_has_one_letter_however_often_it_comes(engine: sa.Engine, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "nodes.jsonl", {"path": [""]}, {"path": ["정책"]})
    for _ in range(3):
        assert import_nodes(engine, file).bad == 1
    assert [attempts for *_, attempts in rows(engine, LETTERS)] == [3]


def test_told_to_stop_it_leaves_nothing(engine: sa.Engine, good: Path) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(StoppedEarly, match="nothing was imported"):
        TreeImport(engine, "1.0.0", good, stop, dry_run=False).run()
    assert rows(engine, NODES) == []


def test_a_signal_ends_it_with_code_4(engine: sa.Engine, tmp_path: Path) -> None:
    many = write_lines(tmp_path / "many.jsonl", *({"path": ["a", str(n)]} for n in range(2_000)))
    with engine.connect() as other:
        other.execute(sa.text(QUERIES["lock_taxonomy"]))
        command = [str(Path(sys.executable).with_name("aegis")), "taxonomy", "import", str(many)]
        child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        wait_for_lock(engine)
        child.send_signal(signal.SIGTERM)
    assert child.communicate()[1].startswith("error: stopped: nothing was imported")
    assert child.returncode == 4
    assert rows(engine, NODES) == []


def test_two_imports_at_once_are_one_after_the_other(
    engine: sa.Engine, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "LOCK_TIMEOUT", "SET LOCAL lock_timeout = '100ms'")
    with engine.connect() as other:
        other.execute(sa.text(QUERIES["lock_taxonomy"]))
        with pytest.raises(Busy, match="another import of the taxonomy is at work"):
            TreeImport(engine, "1.0.0", good, Event(), dry_run=False).run()
    assert rows(engine, NODES) == []


def test_a_version_that_no_node_can_have_is_wrong_usage(engine: sa.Engine, good: Path) -> None:
    result = aegis("taxonomy", "import", str(good), "--version", "x" * 21, check=False)
    assert result.returncode == 2
    assert "a version has 1 to 20 characters" in result.stderr


def test_the_tree_is_shown_with_its_versions(engine: sa.Engine, good: Path, tmp_path: Path) -> None:
    import_nodes(engine, good)
    newer = write_lines(tmp_path / "newer.jsonl", {"path": ["정책", "[red]"]})
    import_nodes(engine, newer, "1.10.0")
    lines = [" ".join(line.split()) for line in aegis("taxonomy", "show").stdout.splitlines()]
    assert lines == [
        "taxonomy",
        "├── 정책 1.10.0, also 1.0.0, 1",
        "│ ├── [red] 1.10.0, 1",
        "│ └── 창업 1.0.0, 0.8",
        "│ └── 청년 1.0.0, 0.9",
        "└── 주거/복지 1.0.0, 1",
    ]
    assert "1.10.0" not in aegis("taxonomy", "show", "--version", "1.0.0").stdout


def test_a_part_of_the_tree_is_shown_as_json(engine: sa.Engine, good: Path) -> None:
    import_nodes(engine, good)
    nodes = json.loads(aegis("taxonomy", "show", "정책/창업", "--json").stdout)
    ids = dict(rows(engine, "SELECT label, node_id::text FROM taxonomy_nodes"))
    below = {"version": "1.0.0", "other_versions": []}
    assert nodes == [
        {"path": ["정책", "창업"], "node_id": ids["창업"], "confidence": 0.8, **below},
        {"path": ["정책", "창업", "청년"], "node_id": ids["청년"], "confidence": 0.9, **below},
    ]


def test_an_unknown_path_ends_with_code_1_and_the_closest(engine: sa.Engine, good: Path) -> None:
    import_nodes(engine, good)
    result = aegis("taxonomy", "show", "정책/창엽", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith(
        "error [DP_2001]: unknown taxonomy path 정책/창엽; closest: 정책/창업 (distance 0.167), "
    )
    assert "next: aegis taxonomy show '정책/창업'" in result.stderr


def test_what_is_no_path_is_wrong_usage(engine: sa.Engine) -> None:
    result = aegis("taxonomy", "show", "정책//창업", check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert "part 2 of the path is empty" in result.stderr


def test_an_empty_taxonomy_says_what_to_run(engine: sa.Engine) -> None:
    assert aegis("taxonomy", "show").stdout == "the taxonomy has no nodes; next: aegis taxonomy import FILE\n"
