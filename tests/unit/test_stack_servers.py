from __future__ import annotations

import re
from pathlib import Path

import pytest

from ops.stack.credentials import load_credentials
from ops.stack.install import STACK
from ops.stack.layout import DEFAULT_PORTS, ROOT, StackLayout
from ops.stack.process import StartFailed
from ops.stack.server import Context, base_env, render
from ops.stack.servers import OPTIONAL, SERVERS, select
from processor.errors import ConfigurationError


def test_each_server_comes_after_those_it_needs() -> None:
    names = list(SERVERS)
    for server in SERVERS.values():
        assert all(names.index(need) < names.index(server.name) for need in server.needs)


def test_every_port_setting_belongs_to_exactly_one_server() -> None:
    used = [port for server in (SERVERS | OPTIONAL).values() for port in server.ports]
    assert sorted(used) == sorted(DEFAULT_PORTS)


def test_naming_a_server_selects_what_it_needs_too() -> None:
    assert [server.name for server in select(["connect"])] == ["kafka", "registry", "connect"]
    assert [server.name for server in select(["redis", "postgres"])] == ["postgres", "redis"]
    assert select() == list(SERVERS.values())


def test_a_server_that_the_path_does_not_need_starts_only_when_it_is_named() -> None:
    assert [server.name for server in select(["milvus_server"])] == ["milvus_server"]
    assert "milvus_server" not in {server.name for server in select()}


def test_an_unknown_server_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no server 'mysql'") as caught:
        select(["mysql"])
    assert "postgres, kafka" in (caught.value.hint or "")


def test_every_recipe_is_a_file_of_the_checkout() -> None:
    for server in (SERVERS | OPTIONAL).values():
        for recipe in server.recipes:
            assert (STACK / recipe.file).is_file()
            assert all((STACK / file).is_file() for file in recipe.extra)


def test_lock_files_hold_hashes_and_no_addresses() -> None:
    locks = sorted(STACK.rglob("*.lock"))
    assert len(locks) == 5
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text
        assert all("--hash=" in pin for pin in re.split(r"\n(?=\S)", text))


def test_every_server_listens_on_loopback_only() -> None:
    for file in [*STACK.rglob("*.conf"), *STACK.rglob("*.properties"), *STACK.rglob("*.yml")]:
        assert not re.search(r"0\.0\.0\.0|::", file.read_text()), file


def test_templates_are_filled_and_a_value_nobody_sets_is_an_error(tmp_path: Path) -> None:
    render("redis/valkey.conf", tmp_path / "conf/valkey.conf", PORT=7, HOME="/a b")
    text = (tmp_path / "conf/valkey.conf").read_text()
    assert "\nport 7\n" in text
    assert '\ndir "/a b"\n' in text
    with pytest.raises(StartFailed, match="@HOME@"):
        render("redis/valkey.conf", tmp_path / "valkey.conf", PORT=7)


def test_the_users_environment_does_not_reach_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx10g")
    monkeypatch.setenv("PGDATA", "/elsewhere")
    monkeypatch.setenv("POSTGRES_PASSWORD", "secret")
    assert set(base_env(X="1")) <= {"PATH", "HOME", "TZ", "TMPDIR", "LANG", "X"}


@pytest.mark.parametrize("name", ["postgres", "kafka", "registry", "connect", "neo4j", "redis", "milvus"])
def test_no_password_shows_in_a_command_line(name: str, tmp_path: Path) -> None:
    layout = StackLayout(tmp_path / "cache", tmp_path / "state", tmp_path / "env", dict(DEFAULT_PORTS))
    context = Context(layout, load_credentials(layout))
    line = " ".join(SERVERS[name].command(context).argv)
    assert not [password for password in vars(context.credentials).values() if password in line]


def test_the_files_that_a_stack_leaves_in_the_checkout_are_ignored_by_git() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    assert {".stack/", ".env", ".env.stack"} <= set(ignored)
