from __future__ import annotations

from pathlib import Path

import pytest

from ops.stack.layout import (
    DEFAULT_PORTS,
    ROOT,
    StackSettings,
    default_cache_dir,
    default_state_dir,
    load_layout,
)
from processor.errors import ConfigurationError
from processor.settings import read_block


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in StackSettings.model_fields:
        monkeypatch.delenv(f"AEGIS_{name.upper()}", raising=False)
    monkeypatch.setitem(StackSettings.model_config, "env_file", None)


def test_without_settings_ports_are_the_documented_defaults() -> None:
    assert load_layout(StackSettings()).ports == DEFAULT_PORTS
    assert set(DEFAULT_PORTS) == {
        name.removesuffix("_port") for name in StackSettings.model_fields if name.endswith("_port")
    }


def test_an_offset_moves_every_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_PORT_OFFSET", "1000")
    assert load_layout().ports == {name: port + 1000 for name, port in DEFAULT_PORTS.items()}


def test_a_port_set_by_name_is_taken_as_written_whatever_the_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_PORT_OFFSET", "1000")
    monkeypatch.setenv("AEGIS_POSTGRES_PORT", "5432")
    ports = load_layout().ports
    assert ports["postgres"] == 5432
    assert ports["kafka"] == DEFAULT_PORTS["kafka"] + 1000


@pytest.mark.parametrize("offset", range(100, 10_100, 100))
def test_clones_with_documented_offsets_share_no_port(offset: int) -> None:
    moved = load_layout(StackSettings(port_offset=offset)).ports
    assert not set(moved.values()) & set(DEFAULT_PORTS.values())


def test_two_servers_on_one_port_are_refused_by_the_names_of_both_settings() -> None:
    settings = StackSettings(redis_port=DEFAULT_PORTS["postgres"])
    with pytest.raises(ConfigurationError, match=r"AEGIS_POSTGRES_PORT and AEGIS_REDIS_PORT are both 15432"):
        load_layout(settings)


def test_a_port_that_is_no_port_is_refused_with_name_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AEGIS_KAFKA_PORT", "70000")
    with pytest.raises(ConfigurationError, match=r"AEGIS_KAFKA_PORT='70000'.*65535"):
        read_block(StackSettings)


def test_settings_are_read_from_the_env_file_of_the_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("AEGIS_PORT_OFFSET=2000\nUNRELATED=1\n")
    monkeypatch.setitem(StackSettings.model_config, "env_file", tmp_path / ".env")
    assert load_layout().ports["redis"] == DEFAULT_PORTS["redis"] + 2000


def test_a_user_keeps_state_in_the_checkout_and_downloads_in_the_cache_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    layout = load_layout()
    assert layout.state_dir == ROOT / ".stack"
    assert layout.cache_dir == Path("/somewhere/cache/aegis")
    assert layout.env_file == ROOT / ".env.stack"


def test_root_keeps_both_where_nobody_can_enter_and_apart_for_each_checkout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    one, two = default_state_dir(Path("/srv/a/aegis")), default_state_dir(Path("/srv/b/aegis"))
    assert default_cache_dir() == Path("/var/cache/aegis")
    assert one != two
    assert one.parent == two.parent == Path("/var/lib/aegis")
    assert one.name.startswith("aegis-")


def test_root_is_told_when_nobody_could_not_enter_the_chosen_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=rf"AEGIS_STACK_DIR={closed}/state: .*, who cannot enter /"):
        load_layout(StackSettings(stack_dir=closed / "state"))
