"""Keys of encrypted fields are read from the environment or a file, and refused by name with the reason."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from intake.keys import FieldKeySettings, find_sealer, load_sealer
from processor.errors import ConfigurationError
from processor.settings import Block, read_block

ONE, TWO = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
SHORT = base64.b64encode(b"\3" * 31).decode()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FIELD_KEYS", "FIELD_KEYS_FILE", "FIELD_KEYS_CURRENT"):
        monkeypatch.delenv(name, raising=False)


def configure(monkeypatch: pytest.MonkeyPatch, keys: str, current: str = "") -> None:
    monkeypatch.setenv("FIELD_KEYS", keys)
    monkeypatch.setenv("FIELD_KEYS_CURRENT", current)


def test_without_keys_there_is_no_sealer_and_who_needs_one_is_told() -> None:
    assert find_sealer() is None
    with pytest.raises(ConfigurationError, match="no key of encrypted fields is configured") as caught:
        load_sealer()
    assert "aegis keys generate" in str(caught.value.hint)
    assert caught.value.exit_code == 10


@pytest.mark.parametrize("between", [" ", ",", ", ", "\n"])
def test_several_keys_are_taken_and_the_current_one_seals(
    monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    configure(monkeypatch, f" one:{ONE}{between}two:{TWO}\n", "two")
    sealer = load_sealer()
    assert (sealer.key_ids, sealer.current) == (("one", "two"), "two")
    assert read_block(FieldKeySettings).by_id == {"one": b"\1" * 32, "two": b"\2" * 32}


def test_a_single_key_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, f"one:{ONE}")
    assert load_sealer().current == "one"


def test_a_file_is_read_in_place_of_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"two:{TWO}\n")
    configure(monkeypatch, f"one:{ONE}")
    monkeypatch.setenv("FIELD_KEYS_FILE", str(file))
    assert load_sealer().key_ids == ("two",)


@pytest.mark.parametrize(
    ("keys", "current", "says"),
    [
        (f"one:{SHORT}", "", r"FIELD_KEYS: key 1 \(one\) has 31 bytes, not 32"),
        (f"one:{ONE} two:{ONE[:-2]}", "one", r"FIELD_KEYS: key 2 \(two\) is not base64"),
        (f"one:{ONE[:9]}!{ONE[9:]}", "", r"FIELD_KEYS: key 1 \(one\) is not base64"),
        ("one:", "", r"FIELD_KEYS: key 1 \(one\) has 0 bytes, not 32"),
        (f"one:{ONE} one:{TWO}", "one", "FIELD_KEYS: key 2 has the id of an earlier one, one"),
        (ONE, "", "FIELD_KEYS: key 1 is not ID:BASE64"),
        (f"{ONE}:one", "", "FIELD_KEYS: key 1 is not ID:BASE64"),
        (
            f"one:{ONE} two:{TWO}",
            "",
            "FIELD_KEYS_CURRENT must say which key seals: FIELD_KEYS holds one, two",
        ),
        (f"one:{ONE}", "three", "FIELD_KEYS_CURRENT names none of the keys: FIELD_KEYS holds one"),
        (f"one:{ONE}", TWO, "FIELD_KEYS_CURRENT names none of the keys"),
        ("", "one", "FIELD_KEYS_CURRENT names none of the keys: FIELD_KEYS holds no key"),
    ],
)
def test_wrong_keys_are_refused_with_the_reason_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, keys: str, current: str, says: str
) -> None:
    configure(monkeypatch, keys, current)
    with pytest.raises(ConfigurationError, match=says) as caught:
        load_sealer()
    told = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"
    assert not any(part in told for part in (ONE[:-2], TWO[:-2], SHORT[:-2]))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (f"one:{ONE}", "No such file or directory"),
        (" ".join(f"key{n}:{ONE}" for n in range(8)), "File name too long"),
        ("", "Is a directory"),
    ],
)
def test_keys_in_place_of_the_files_name_are_refused_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, value: str, says: str
) -> None:
    monkeypatch.setenv("FIELD_KEYS_FILE", value)
    with pytest.raises(ConfigurationError, match=f"FIELD_KEYS_FILE cannot be read: {says}") as caught:
        load_sealer()
    assert ONE[:-2] not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"


def test_no_refusal_of_such_a_setting_shows_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(Block):
        model_config = SettingsConfigDict(env_prefix="FIELD_")
        keys_number: int

    monkeypatch.setenv("FIELD_KEYS_NUMBER", f"one:{ONE}")
    with pytest.raises(
        ConfigurationError, match="FIELD_KEYS_NUMBER: Input should be a valid integer"
    ) as caught:
        read_block(Later)
    assert ONE[:-2] not in str(caught.value)


def test_a_file_that_holds_no_text_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("FIELD_KEYS_FILE", str(tmp_path / "binary"))
    with pytest.raises(ConfigurationError, match="FIELD_KEYS_FILE cannot be read: it holds no UTF-8 text"):
        load_sealer()


def test_keys_do_not_show_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, f"one:{ONE}")
    settings = read_block(FieldKeySettings)
    assert ONE not in repr(settings)
    assert repr(b"\1" * 32) not in repr(settings)
