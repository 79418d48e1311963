"""Find a JDK that can run the Java servers, and Maven, which downloads them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from processor.errors import ConfigurationError

OLDEST = 21
"""Apicurio Registry and Elasticsearch 9 are Java 21 bytecode."""

_PARENTS = (Path("/usr/lib/jvm"), Path.home() / ".sdkman/candidates/java", Path.home() / ".jdks")


def find_jdk(env: Mapping[str, str] = os.environ, parents: tuple[Path, ...] = _PARENTS) -> Path:
    """Home of a JDK of version 21 or newer.

    JAVA_HOME comes first, then `java` on the PATH, then the JDKs installed beside that one and in `parents`,
    oldest first.

    Raises:
        ConfigurationError: there is none; the message lists what was found instead.
    """
    seen: dict[Path, int | None] = {}
    for home in _candidates(env, parents):
        if home not in seen:
            seen[home] = version(home)
            if (seen[home] or 0) >= OLDEST and (home / "bin" / "javac").exists():
                return home
    found = ", ".join(f"{home} (version {number or 'unknown'})" for home, number in seen.items())
    raise ConfigurationError(
        f"the Java servers of the stack need a JDK (with javac) of version {OLDEST} or newer; "
        + (f"found only {found}" if found else "no JDK was found"),
        hint=f"install one (Debian: apt install openjdk-{OLDEST}-jdk-headless) or set JAVA_HOME, "
        "then: aegis stack up",
    )


def version(home: Path) -> int | None:
    """Feature version of the JDK (8, 17, 21, ...) by its `release` file; None without such a file."""
    try:
        text = (home / "release").read_text(errors="replace")
    except OSError:
        return None
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(match[1]) if match else None


def find_maven(env: Mapping[str, str] = os.environ) -> str:
    """Path of `mvn`.

    Raises:
        ConfigurationError: it is not on the PATH.
    """
    maven = shutil.which("mvn", path=env.get("PATH", ""))
    if maven is None:
        raise ConfigurationError(
            "Maven downloads the Java servers, but there is no `mvn` on the PATH",
            hint="install Maven 3.8 or newer (Debian: apt install maven), then: aegis stack up",
        )
    return maven


def _candidates(env: Mapping[str, str], parents: tuple[Path, ...]) -> Iterator[Path]:
    if env.get("JAVA_HOME"):
        yield Path(env["JAVA_HOME"])
    default = shutil.which("java", path=env.get("PATH", ""))
    if default:
        home = Path(default).resolve().parents[1]
        yield home
        parents = (home.parent, *parents)
    for parent in parents:
        homes = {child.resolve() for child in parent.glob("*") if (child / "bin" / "java").exists()}
        yield from sorted(homes, key=lambda home: (version(home) or 0, str(home)))
