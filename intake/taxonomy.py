"""From a path of labels to its node, by few queries."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from cachetools import TTLCache
from psycopg.types.json import Jsonb

from intake.errors import UnknownPath
from intake.paths import Candidate, Path, closest, format_path, path_of
from intake.versions import version_key
from sql.queries import run

CACHED_NODES: Final = 1000
CACHE_SECONDS: Final = 3600
EXPLAINED: Final = 5
"""Unknown paths of one batch for which the closest ones are looked up: 0.1 s each among 10,000 nodes."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the taxonomy."""

    node_id: UUID
    path: Path
    version: str


class Taxonomy:
    """Looks nodes up, and remembers up to CACHED_NODES of them for CACHE_SECONDS; for any number of threads.

    What was not found is not remembered: a path can be used as soon as it is imported. A newer version of a
    remembered node is seen after an hour at the latest.
    """

    def __init__(
        self, default: Sequence[str] | None = None, *, timer: Callable[[], float] = time.monotonic
    ) -> None:
        """`default`: the path that stands for unknown ones; without it they are errors. `timer`: seconds."""
        self._default = None if default is None else path_of(default)
        self._cache: TTLCache[tuple[Path, str | None], Node] = TTLCache(
            CACHED_NODES, CACHE_SECONDS, timer=timer
        )
        self._lock = Lock()

    def find(
        self, connection: sa.Connection, paths: Iterable[Sequence[str]], version: str | None = None
    ) -> dict[Path, Node]:
        """The nodes of these paths, by path, in `version` or else each in its newest; one query at the most.

        Raises:
            BadPath: one is no path.
            UnknownPath: no node has one of the paths, and the default, if any, is unknown, too.
        """
        asked = dict.fromkeys(path_of(path) for path in paths)
        wanted = asked if self._default is None else asked | {self._default: None}
        with self._lock:
            found = {path: node for path in wanted if (node := self._cache.get((path, version)))}
        if missing := [path for path in asked if path not in found]:
            found |= self._read(connection, [path for path in wanted if path not in found], version)
        unknown = [path for path in missing if path not in found]
        if unknown and self._default in found:
            return {path: found.get(path, found[self._default]) for path in asked}
        if unknown:
            raise _unknown(connection, unknown, version)
        return {path: found[path] for path in asked}

    def forget(self, paths: Iterable[Path]) -> None:
        """Look these up again next time, in every version."""
        gone = {*paths}
        with self._lock:
            for key in [key for key in self._cache if key[0] in gone]:
                self._cache.pop(key, None)

    def _read(self, connection: sa.Connection, paths: list[Path], version: str | None) -> dict[Path, Node]:
        found: dict[Path, Node] = {}
        for row in run(connection, "taxonomy_lookup", paths=Jsonb(paths), version=version):
            node = Node(row.node_id, tuple(row.canonical_path), row.version)
            known = found.get(node.path)
            if known is None or version_key(known.version) < version_key(node.version):
                found[node.path] = node
        with self._lock:
            self._cache.update({(path, version): node for path, node in found.items()})
        return found


def _unknown(connection: sa.Connection, paths: list[Path], version: str | None) -> UnknownPath:
    known = [tuple(path) for path in run(connection, "taxonomy_paths", version=version).scalars()]
    within = "" if version is None else f" in version {version}"
    if not known:
        message = f"unknown taxonomy path {format_path(paths[0])}: the taxonomy has no node{within}"
        return UnknownPath(message, {}, hint="aegis taxonomy import FILE, or aegis taxonomy show")
    candidates = {path: closest(path, known) for path in paths[:EXPLAINED]}
    told = [f"{format_path(path)}; closest: {_tell(found)}" for path, found in candidates.items()]
    more = f"; and {len(paths) - EXPLAINED} more" if len(paths) > EXPLAINED else ""
    best = format_path(candidates[paths[0]][0].path)
    return UnknownPath(
        f"unknown taxonomy path{within} {' | '.join(told)}{more}",
        candidates,
        hint=f"aegis taxonomy show {shlex.quote(best)}, or import the path: aegis taxonomy import FILE",
    )


def _tell(candidates: Iterable[Candidate]) -> str:
    return ", ".join(f"{format_path(one.path)} (distance {one.distance:g})" for one in candidates)
