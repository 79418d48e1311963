"""Download a server once into the cache; every checkout uses the same copy.

A recipe is a file in `stack/` with exact versions: a Maven pom or a lock file of wheels. A hash of its text
names the folder, so a changed recipe never meets old files; the folder appears by one rename, when complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ops.stack import java
from ops.stack.layout import ROOT, StackLayout
from ops.stack.process import StartFailed
from processor.errors import ConfigurationError

STACK = ROOT / "stack"
Progress = Callable[[str], None]

_POLL_SECONDS = 0.2
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Recipe(ABC):
    """What to put into one folder of the cache.

    `file` (under `stack/`) pins the versions, `finish` completes the folder, `extra` lists more files in
    `stack/` that it uses.
    """

    name: str
    file: str
    finish: Callable[[Path], None] | None = None
    extra: tuple[str, ...] = ()

    def digest(self) -> str:
        """Changes with everything that the folder's contents depend on."""
        text = b"\0".join((STACK / file).read_bytes() for file in (self.file, *self.extra))
        return hashlib.sha256(text + self.environment().encode()).hexdigest()[:12]

    def environment(self) -> str:
        """What of this machine the contents depend on."""
        return ""

    @abstractmethod
    def check(self) -> None:
        """Raise ConfigurationError when a tool is missing, before anything is downloaded."""

    @abstractmethod
    def fill(self, folder: Path, layout: StackLayout, progress: Progress) -> None:
        """Download into the empty `folder`."""


@dataclass(frozen=True)
class MavenRecipe(Recipe):
    """Artifacts that a pom's prepare-package phase puts into the folder `out`."""

    def check(self) -> None:
        """A JDK and Maven."""
        java.find_jdk()
        java.find_maven()

    def fill(self, folder: Path, layout: StackLayout, progress: Progress) -> None:
        """Run Maven; one at a time, because its local repository does not bear two writers."""
        env = dict(os.environ)
        if not env.get("JAVA_HOME") and not shutil.which("java"):
            env["JAVA_HOME"] = str(java.find_jdk())
        argv = [java.find_maven(), "-B", "-f", str(STACK / self.file), "prepare-package", f"-Dout={folder}"]
        # The connection of a long download breaks now and then; the default of three retries is thin.
        argv.append("-Dmaven.wagon.http.retryHandler.count=5")
        with locked(layout.cache_dir / "maven.lock", lambda: progress("waiting for another download")):
            progress("downloading")
            run_logged(self.name, argv, env, layout, progress)


@dataclass(frozen=True)
class WheelRecipe(Recipe):
    """Wheels of a lock file, in a folder apart from this program's own packages."""

    def environment(self) -> str:
        """Wheels with compiled parts fit one Python version and one kind of machine."""
        return f"{sys.version_info[:2]} {sys.platform} {platform.machine()}"

    def check(self) -> None:
        """The installer."""
        if find_spec("uv") is None:
            raise ConfigurationError("the package uv is not installed beside aegis", hint="make setup")

    def fill(self, folder: Path, layout: StackLayout, progress: Progress) -> None:
        """Install with hashes checked and nothing resolved; compiled now, not at every start."""
        argv = [sys.executable, "-m", "uv", "pip", "install", "--require-hashes", "--no-deps"]
        argv += ["--compile-bytecode"]
        argv += [f"--python={sys.executable}", f"--target={folder}", "-r", str(STACK / self.file)]
        progress("downloading")
        run_logged(self.name, argv, dict(os.environ), layout, progress)


def location(layout: StackLayout, recipe: Recipe) -> Path:
    """Folder of the recipe in the cache, installed or not."""
    return layout.cache_dir / f"{recipe.name}-{recipe.digest()}"


def ensure(layout: StackLayout, recipe: Recipe, progress: Progress = lambda _: None) -> Path:
    """Install the recipe unless it is there, and return its folder.

    Raises:
        StartFailed: the download failed; the message holds the end of its output.
    """
    target = location(layout, recipe)
    if target.exists():
        return target
    layout.cache_dir.mkdir(parents=True, exist_ok=True)
    with locked(layout.cache_dir / f"{recipe.name}.lock", lambda: progress("waiting for another download")):
        if target.exists():
            return target
        for leftover in layout.cache_dir.glob(f".{recipe.name}-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{recipe.name}-", dir=layout.cache_dir))
        try:
            recipe.fill(folder, layout, progress)
            if recipe.finish:
                recipe.finish(folder)
            _open_to_all(folder)
            folder.rename(target)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return target


@contextlib.contextmanager
def locked(file: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock on the file; while somebody else holds it, call `on_wait` five times a second.

    `on_wait` may raise to give up. The kernel releases the lock when its holder dies, however it dies.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(_POLL_SECONDS)
        yield


def run_logged(
    name: str, argv: Sequence[str], env: dict[str, str], layout: StackLayout, progress: Progress
) -> None:
    """Run an installer, its output in the log `install-<name>`; count the files that come.

    `progress` is called five times a second and may raise to end the installer.

    Raises:
        StartFailed: it ended with an error.
    """
    log_file = layout.log_file(f"install-{name}")
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (
        log_file.open("w") as log,
        # Killed with -9, this command must not leave an installer that writes beside the next one's.
        subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", *argv], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as child,
    ):
        try:
            while not _has_ended(child):
                files = log_file.read_text(errors="replace").count("Downloaded from")
                progress(f"downloading, {files} files" if files else "downloading")
        except BaseException:
            child.terminate()
            raise
    if child.returncode:
        raise StartFailed(
            f"installing {name} failed ({argv[0]} ended with {child.returncode}); the end of {log_file}:\n"
            + tail(log_file, 8),
            hint="check the network connection and free space, then: aegis stack up",
        )


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    try:
        child.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def tail(file: Path, lines: int) -> str:
    """The last lines of a text file that are not blank; empty when it cannot be read."""
    try:
        with file.open("rb") as handle:
            handle.seek(max(0, file.stat().st_size - 400 * max(lines, 1)))
            text = _COLOURS.sub("", handle.read().decode(errors="replace"))
    except OSError:
        return ""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
