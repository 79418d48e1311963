from __future__ import annotations

import shlex
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from intake.keys import load_sealer
from ops.stack.credentials import Credentials, load_credentials
from ops.stack.environment import endpoints, known_endpoints, shell_exports, write_env_file
from ops.stack.layout import DEFAULT_PORTS, StackLayout
from processor import settings
from processor.errors import ConfigurationError


@pytest.fixture
def layout(tmp_path: Path) -> StackLayout:
    ports = {name: port + 7000 for name, port in DEFAULT_PORTS.items()}
    return StackLayout(tmp_path / "cache", tmp_path / "state", tmp_path / ".env.stack", ports)


def test_endpoints_carry_the_names_that_users_rely_on(layout: StackLayout) -> None:
    variables = endpoints(layout, Credentials(postgres_owner="o'w $n", neo4j="n"))
    assert variables["POSTGRES_DSN"] == "postgresql://aegis:o'w $n@127.0.0.1:22432/aegis"
    assert variables["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:26092"
    assert variables["CONNECT_URL"] == "http://127.0.0.1:25083"
    assert variables["SCHEMA_REGISTRY_URL"] == "http://127.0.0.1:25081/apis/ccompat/v7"
    assert variables["MILVUS_URI"] == "http://127.0.0.1:26530"
    assert variables["NEO4J_URI"] == "bolt://127.0.0.1:24687"
    assert (variables["NEO4J_USER"], variables["NEO4J_PASSWORD"]) == ("neo4j", "n")
    assert variables["SEARCH_URL"] == "http://127.0.0.1:26200"
    assert variables["REDIS_URL"] == "redis://127.0.0.1:23379/0"
    assert variables["EMBEDDING_ENGINE"] == "onnx"


def test_the_stack_has_a_key_of_its_own_for_encrypted_fields(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FIELD_KEYS", "FIELD_KEYS_FILE", "FIELD_KEYS_CURRENT"):
        monkeypatch.delenv(name, raising=False)
    write_env_file(layout, load_credentials(layout))
    monkeypatch.chdir(layout.env_file.parent)
    assert load_sealer().key_ids == ("local",)


def test_the_programs_of_the_checkout_read_them_from_the_written_file(
    layout: StackLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in endpoints(layout, Credentials()):
        monkeypatch.delenv(name, raising=False)
    credentials = load_credentials(layout)
    write_env_file(layout, credentials)
    monkeypatch.chdir(layout.env_file.parent)
    loaded = settings.load_settings()
    assert loaded.postgres.port == layout.ports["postgres"]
    assert loaded.postgres.password.get_secret_value() == credentials.postgres_owner
    assert loaded.postgres.debezium_password.get_secret_value() == credentials.postgres_debezium
    assert loaded.postgres.processor_password.get_secret_value() == credentials.postgres_processor
    assert loaded.kafka.bootstrap_servers == f"127.0.0.1:{layout.ports['kafka']}"
    assert loaded.connect.url == layout.url("connect")
    assert loaded.registry.url.endswith("/apis/ccompat/v7")
    assert loaded.search.url == layout.url("elasticsearch")


def test_files_with_passwords_are_readable_by_their_owner_only(layout: StackLayout) -> None:
    write_env_file(layout, load_credentials(layout))
    for file in (layout.env_file, layout.credentials_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_passwords_are_random_all_different_and_kept(layout: StackLayout, tmp_path: Path) -> None:
    first = load_credentials(layout)
    passwords = list(vars(first).values())
    assert len(set(passwords)) == len(passwords) == 6
    assert min(map(len, passwords)) >= 32
    assert load_credentials(layout) == first
    other = StackLayout(layout.cache_dir, tmp_path / "other", layout.env_file, layout.ports)
    assert load_credentials(other) != first


def test_a_new_account_gets_a_password_and_the_others_keep_theirs(layout: StackLayout) -> None:
    first = load_credentials(layout)
    file = layout.credentials_file
    file.write_text('{"postgres_owner": "kept", "of_a_removed_account": "x"}')
    second = load_credentials(layout)
    assert second.postgres_owner == "kept"
    assert second.neo4j not in ("", first.neo4j)
    assert load_credentials(layout) == second


def test_passwords_do_not_show_in_the_representation(layout: StackLayout) -> None:
    credentials = load_credentials(layout)
    assert credentials.neo4j not in repr(credentials)


def test_shell_exports_survive_the_shell(layout: StackLayout) -> None:
    text = shell_exports({"A": "o'w $n", "B": "plain"})
    lines = [shlex.split(line) for line in text.splitlines()]
    assert lines == [["export", "A=o'w $n"], ["export", "B=plain"]]


def test_the_written_file_holds_exactly_the_endpoints(layout: StackLayout) -> None:
    credentials = load_credentials(layout)
    write_env_file(layout, credentials)
    assert dotenv_values(layout.env_file) == endpoints(layout, credentials) == known_endpoints(layout)


def test_a_stack_never_started_has_no_environment_and_says_what_to_run(layout: StackLayout) -> None:
    with pytest.raises(ConfigurationError, match="never started") as caught:
        known_endpoints(layout)
    assert caught.value.hint == "aegis stack up"
