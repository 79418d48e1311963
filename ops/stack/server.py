"""What every local server says about itself, and what it may use for that."""

from __future__ import annotations

import os
import re
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ops.stack import install, java
from ops.stack.credentials import Credentials
from ops.stack.install import STACK, Recipe
from ops.stack.layout import StackLayout
from ops.stack.process import StartFailed


@dataclass(frozen=True)
class Context:
    """The stack that a server belongs to."""

    layout: StackLayout
    credentials: Credentials

    def folder(self, recipe: Recipe) -> Path:
        """Where the recipe was installed."""
        return install.location(self.layout, recipe)

    def port(self, name: str) -> int:
        """Port of a server, or of a part of it, by its setting's name."""
        return self.layout.ports[name]

    def data(self, service: str) -> Path:
        """Folder of the service's data and rendered configuration; made, for its owner only, when missing."""
        folder = self.layout.data(service)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True)
class Command:
    """How to run a server in the foreground."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


class Server(ABC):
    """One local server. `ports` are names of port settings, the first is the one that clients use."""

    name: ClassVar[str]
    ports: ClassVar[tuple[str, ...]]
    recipes: ClassVar[tuple[Recipe, ...]]
    needs: ClassVar[tuple[str, ...]] = ()
    unprivileged: ClassVar[bool] = False
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def check(self) -> None:
        """Raise ConfigurationError when a tool that the server needs is missing."""
        for recipe in self.recipes:
            recipe.check()

    @abstractmethod
    def prepare(self, context: Context) -> None:
        """Make data folder and configuration; called before every start, so it repairs what a crash left."""

    @abstractmethod
    def command(self, context: Context) -> Command:
        """The server's process."""

    @abstractmethod
    def probe(self, context: Context) -> None:
        """Ask the server something real; raises anything while it does not answer."""

    def finish(self, context: Context) -> None:  # noqa: B027  most servers need nothing
        """Set up what only a running server can; called after every start, so it must be idempotent."""


def ask(url: str) -> None:
    """GET something real of a local server, past any proxy of the user's.

    Raises:
        httpx.HTTPError: it does not answer within 3 s, or answers with an error.
    """
    import httpx

    httpx.get(url, timeout=3, trust_env=False).raise_for_status()


def java_argv(heap: str, *args: str) -> list[str]:
    """Command line of a small JVM; `heap` are its memory options.

    The serial collector needs the least memory and threads; in heaps this small the others gain nothing.
    """
    base = [str(java.find_jdk() / "bin" / "java"), *heap.split(), "-XX:+UseSerialGC", "-Xss512k"]
    return [*base, "-Djava.awt.headless=true", *args]


def base_env(**more: str) -> dict[str, str]:
    """Environment of a server: nothing of the user's but what programs need to run at all.

    JAVA_TOOL_OPTIONS, PG*, ES_* or PYTHON* of the user's shell would change servers in ways nobody looks for.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TZ", "TMPDIR") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", **more}


def render(template: str, target: Path, **values: object) -> None:
    """Write `stack/<template>` to `target` with every @NAME@ replaced.

    Raises:
        StartFailed: the template names a value that was not given.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise StartFailed(f"stack/{template} asks for @{match[1]}@, which nobody sets")
        return str(values[match[1]])

    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(re.sub(r"@([A-Z_]+)@", value, (STACK / template).read_text()))
