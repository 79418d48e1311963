"""Wrong settings are refused at start, by name and with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from processor.errors import ConfigurationError
from processor.settings import load_settings


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("POSTGRES_PORT", "KAFKA_BOOTSTRAP_SERVERS", "SEARCH_URL", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POSTGRES_PORT", "99999"),
        ("KAFKA_PARTITIONS", "0"),
        ("KAFKA_MAX_MESSAGE_BYTES", "16777215"),
        ("KAFKA_GROUP_ID", ""),
        ("SEARCH_URL", "http://localhost"),
        ("SEARCH_URL", "localhost:9200"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://localhost:6379/0?decode_responses=true"),
        ("REDIS_TTL_SECONDS", "-1"),
        ("REDIS_CA_FILE", "/no/such/file"),
        ("LOG_LEVEL", "LOUD"),
        ("EPOCH", "512"),
        ("DEAD_LETTER_RATIO", "1.5"),
    ],
)
def test_a_wrong_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=re.escape(f"{name}='{value}'")) as caught:
        load_settings()
    assert caught.value.hint


def test_a_wrong_address_with_a_password_in_it_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "http://app:s3cret@localhost")
    with pytest.raises(ConfigurationError, match="REDIS_URL: String should match") as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_settings_that_contradict_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SESSION_TIMEOUT_MS", "20000")
    monkeypatch.setenv("KAFKA_MAX_POLL_INTERVAL_MS", "10000")
    with pytest.raises(ConfigurationError, match="KAFKA_SESSION_TIMEOUT_MS must not exceed"):
        load_settings()


def test_the_environment_wins_over_env_which_wins_over_the_local_stacks(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / ".env.stack").write_text("POSTGRES_HOST=stack\nPOSTGRES_PORT=1\nPOSTGRES_USER=stack\n")
    (empty_folder / ".env").write_text("POSTGRES_HOST=file\nPOSTGRES_PORT=2\n")
    monkeypatch.setenv("POSTGRES_HOST", "environment")
    postgres = load_settings().postgres
    assert (postgres.host, postgres.port, postgres.user) == ("environment", 2, "stack")


def test_a_password_never_shows_in_text_but_reaches_the_url() -> None:
    from processor.settings import PostgresSettings

    settings = PostgresSettings.model_validate({"password": "s3/cr:et@", "user": "a b"})
    assert "s3" not in repr(settings)
    assert "s3" not in str(settings.url())
    assert settings.url().password == "s3/cr:et@"


def test_every_setting_is_documented() -> None:
    from dataclasses import fields
    from typing import get_type_hints

    from intake.keys import FieldKeySettings
    from ops.stack.layout import StackSettings
    from processor.settings import Block, Settings
    from reader import CacheSettings

    hints = get_type_hints(Settings)
    blocks: list[type[Block]] = [
        *(hints[field.name] for field in fields(Settings)),
        StackSettings,
        CacheSettings,
        FieldKeySettings,
    ]
    names = {
        (str(block.model_config.get("env_prefix", "")) + name).upper()
        for block in blocks
        for name in block.model_fields
    }
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    assert {name for name in names if f"`{name}`" not in text} == set()
