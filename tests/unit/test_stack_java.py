from __future__ import annotations

from pathlib import Path

import pytest

from ops.stack.java import find_jdk, find_maven, version
from processor.errors import ConfigurationError


def make_jdk(folder: Path, release: str, *, compiler: bool = True) -> Path:
    (folder / "bin").mkdir(parents=True)
    for program in ("java", "javac") if compiler else ("java",):
        (folder / "bin" / program).write_text("#!/bin/sh\n")
        (folder / "bin" / program).chmod(0o755)
    (folder / "release").write_text(f'IMPLEMENTOR="x"\nJAVA_VERSION="{release}"\nMODULES="java.base"\n')
    return folder


@pytest.mark.parametrize(("text", "number"), [("21.0.4", 21), ("25", 25), ("17.0.15", 17), ("1.8.0_422", 8)])
def test_the_version_is_read_from_the_release_file(tmp_path: Path, text: str, number: int) -> None:
    assert version(make_jdk(tmp_path / "jdk", text)) == number


def test_java_home_is_taken_first(tmp_path: Path) -> None:
    chosen = make_jdk(tmp_path / "mine", "22.0.1")
    on_path = make_jdk(tmp_path / "other", "21.0.1")
    env = {"JAVA_HOME": str(chosen), "PATH": str(on_path / "bin")}
    assert find_jdk(env, ()) == chosen


def test_a_java_home_that_is_too_old_is_passed_over_for_the_one_on_the_path(tmp_path: Path) -> None:
    old, new = make_jdk(tmp_path / "a/old", "11.0.2"), make_jdk(tmp_path / "b/new", "21.0.1")
    assert find_jdk({"JAVA_HOME": str(old), "PATH": str(new / "bin")}, ()) == new


def test_a_newer_jdk_beside_the_default_one_is_found(tmp_path: Path) -> None:
    default = make_jdk(tmp_path / "jvm/java-17", "17.0.15")
    newer = make_jdk(tmp_path / "jvm/temurin-25", "25.0.1")
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/java").symlink_to(default / "bin/java")
    assert find_jdk({"PATH": str(tmp_path / "usr")}, ()) == newer


def test_of_several_fitting_ones_beside_each_other_the_oldest_is_taken(tmp_path: Path) -> None:
    make_jdk(tmp_path / "jvm/a", "25")
    oldest = make_jdk(tmp_path / "jvm/b", "21.0.4")
    make_jdk(tmp_path / "jvm/c", "17.0.1")
    assert find_jdk({}, (tmp_path / "jvm",)) == oldest


def test_a_runtime_without_compiler_does_not_do(tmp_path: Path) -> None:
    make_jdk(tmp_path / "jvm/jre", "21.0.4", compiler=False)
    with pytest.raises(ConfigurationError, match=r"JDK \(with javac\) of version 21"):
        find_jdk({}, (tmp_path / "jvm",))


def test_without_a_fitting_jdk_the_error_lists_what_was_found_and_what_to_do(tmp_path: Path) -> None:
    old = make_jdk(tmp_path / "jvm/old", "17.0.15")
    with pytest.raises(ConfigurationError) as caught:
        find_jdk({"JAVA_HOME": str(old)}, ())
    assert f"found only {old} (version 17)" in str(caught.value)
    assert "JAVA_HOME" in (caught.value.hint or "")


def test_without_any_java_the_error_says_so() -> None:
    with pytest.raises(ConfigurationError, match="no JDK was found"):
        find_jdk({"PATH": ""}, ())


def test_missing_maven_is_named_with_the_cure() -> None:
    with pytest.raises(ConfigurationError, match="no `mvn` on the PATH") as caught:
        find_maven({"PATH": ""})
    assert "apt install maven" in (caught.value.hint or "")
