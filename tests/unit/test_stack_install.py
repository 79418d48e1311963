from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from ops.stack import install
from ops.stack.install import MavenRecipe, Progress, Recipe, WheelRecipe, ensure, location, locked, tail
from ops.stack.layout import DEFAULT_PORTS, StackLayout
from ops.stack.process import StartFailed


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackLayout:
    monkeypatch.setattr(install, "STACK", tmp_path / "stack")
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack/recipe").write_text("version 1")
    return StackLayout(tmp_path / "cache", tmp_path / "state", tmp_path / "env", dict(DEFAULT_PORTS))


@dataclass(frozen=True)
class Local(Recipe):
    """Fills its folder without a network, and counts how often."""

    action: Callable[[Path], None] = lambda folder: None
    fills: list[Path] = field(default_factory=list)

    def check(self) -> None: ...

    def fill(self, folder: Path, layout: StackLayout, progress: Progress) -> None:
        self.fills.append(folder)
        (folder / "jar").write_text("bytes")
        self.action(folder)


def test_a_recipe_is_installed_once_and_then_used(layout: StackLayout) -> None:
    recipe = Local("server", "recipe")
    folder = ensure(layout, recipe)
    assert folder == location(layout, recipe) == ensure(layout, recipe)
    assert (folder / "jar").read_text() == "bytes"
    assert len(recipe.fills) == 1


def test_a_changed_recipe_goes_to_another_folder_and_the_old_one_stays(layout: StackLayout) -> None:
    old = ensure(layout, Local("server", "recipe"))
    (install.STACK / "recipe").write_text("version 2")
    new = ensure(layout, Local("server", "recipe"))
    assert old != new
    assert old.exists()


def test_a_change_of_another_file_that_it_uses_changes_the_folder_too(layout: StackLayout) -> None:
    (install.STACK / "plugin.java").write_text("class A {}")
    recipe = Local("server", "recipe", extra=("plugin.java",))
    before = recipe.digest()
    (install.STACK / "plugin.java").write_text("class B {}")
    assert recipe.digest() != before


def test_a_failed_download_leaves_nothing_that_could_be_taken_for_a_whole_one(layout: StackLayout) -> None:
    def fail(folder: Path) -> None:
        raise StartFailed("connection lost")

    with pytest.raises(StartFailed, match="connection lost"):
        ensure(layout, Local("server", "recipe", action=fail))
    assert [file.name for file in layout.cache_dir.iterdir()] == ["server.lock"]
    assert ensure(layout, Local("server", "recipe")).exists()


def test_what_a_killed_command_left_half_downloaded_is_removed_at_the_next_try(layout: StackLayout) -> None:
    leftover = layout.cache_dir / ".server-abc"
    leftover.mkdir(parents=True)
    (leftover / "half a jar").write_text("by")
    ensure(layout, Local("server", "recipe"))
    assert not leftover.exists()


def test_two_commands_at_once_download_once(layout: StackLayout) -> None:
    begun = threading.Event()
    recipe = Local("server", "recipe", action=lambda _: begun.set())
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: ensure(layout, recipe), range(4)))
    assert begun.is_set()
    assert len(set(folders)) == 1
    assert len(recipe.fills) == 1


def test_installed_files_can_be_read_by_the_user_that_servers_run_as(layout: StackLayout) -> None:
    def close(folder: Path) -> None:
        (folder / "jar").chmod(0o600)
        (folder / "program").write_text("")
        (folder / "program").chmod(0o700)

    folder = ensure(layout, Local("server", "recipe", action=close))
    assert folder.stat().st_mode & 0o777 == 0o755
    assert (folder / "jar").stat().st_mode & 0o777 == 0o644
    assert (folder / "program").stat().st_mode & 0o777 == 0o755


def test_who_has_to_wait_for_a_lock_is_told(tmp_path: Path) -> None:
    told = threading.Event()

    def second() -> bool:
        with locked(tmp_path / "lock", told.set):
            return told.is_set()

    with ThreadPoolExecutor(1) as pool:
        with locked(tmp_path / "lock"):
            waiting = pool.submit(second)
            assert told.wait(10)
        assert waiting.result(10)


def test_a_failing_installer_is_reported_with_the_end_of_its_output(layout: StackLayout) -> None:
    argv = ["sh", "-c", "echo one; echo; printf '\\033[31mno route to host\\033[m\\n'; exit 7"]
    with pytest.raises(StartFailed) as caught:
        install.run_logged("kafka", argv, {"PATH": "/usr/bin:/bin"}, layout, lambda _: None)
    assert "installing kafka failed (sh ended with 7)" in str(caught.value)
    assert str(caught.value).endswith("install-kafka.log:\none\nno route to host")
    assert "aegis stack up" in (caught.value.hint or "")


def test_downloaded_files_are_counted_for_the_user(layout: StackLayout, tmp_path: Path) -> None:
    go = tmp_path / "go"
    lines = "Downloaded from a: x\\nnoise\\nDownloaded from b: y\\n"
    script = f"printf '{lines}'; until test -e {go}; do :; done"
    seen: list[str] = []

    def progress(state: str) -> None:
        seen.append(state)
        if state == "downloading, 2 files":
            go.touch()

    install.run_logged("kafka", ["sh", "-c", script], {"PATH": "/usr/bin:/bin"}, layout, progress)
    assert seen[-1] == "downloading, 2 files"


def test_an_interrupted_command_ends_its_installer(layout: StackLayout) -> None:
    def interrupt(state: str) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        install.run_logged("kafka", ["sleep", "600"], {"PATH": "/usr/bin:/bin"}, layout, interrupt)
    assert not [child for child in psutil.Process().children() if child.cmdline() == ["sleep", "600"]]


def test_waiting_for_a_lock_can_be_given_up(tmp_path: Path) -> None:
    def give_up() -> None:
        raise CancelledError

    with locked(tmp_path / "lock"), pytest.raises(CancelledError), locked(tmp_path / "lock", give_up):
        pytest.fail("the lock was given twice")


def test_the_tail_of_a_log_is_its_last_lines_that_are_not_blank(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n\n" for n in range(1000)))
    assert tail(log, 2) == "line 998\nline 999"
    assert tail(tmp_path / "none", 2) == ""


def test_tools_are_checked_without_downloading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("ops.stack.java.find_jdk", lambda: Path("/jdk"))
    with pytest.raises(Exception, match="no `mvn`"):
        MavenRecipe("kafka", "kafka/pom.xml").check()
    WheelRecipe("postgres", "postgres/requirements.lock").check()
