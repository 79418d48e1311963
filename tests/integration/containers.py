"""The same tests on the servers of compose.yaml: `make test-docker`, that is AEGIS_TEST_STACK=docker.

The containers, their volumes, ports and passwords are this run's own: neither a running stack of the checkout
nor its `.env.stack` is touched.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ops.stack.credentials import load_credentials
from ops.stack.docker import COMPOSE_FILE, DEFAULT_PORTS, check, docker_layout, known_variables
from ops.stack.layout import ROOT, load_layout
from ops.stack.servers import SERVERS

PROJECT = re.sub("[^a-z0-9]", "", ROOT.name.lower()) + "-test"


def wanted() -> bool:
    """Whether this run asks for Docker."""
    return os.environ.get("AEGIS_TEST_STACK", "native") == "docker"


@contextmanager
def running() -> Iterator[None]:
    """Start the servers, lead this process and its children to them, and remove them with their volumes."""
    from testcontainers.compose import DockerCompose

    check()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        layout = docker_layout(load_layout())
        layout = replace(layout, state_dir=Path(folder) / "state", ports=_free_ports())
        load_credentials(layout)
        environment.setenv("COMPOSE_PROJECT_NAME", PROJECT)
        for name, value in known_variables(layout).items():
            environment.setenv(name, value)
        compose = DockerCompose(ROOT, COMPOSE_FILE.name, build=True, services=list(SERVERS))
        everything = DockerCompose(ROOT, COMPOSE_FILE.name)
        everything.stop()  # what a killed run left has other passwords
        try:
            compose.start()
            yield
        except subprocess.CalledProcessError as error:
            if "up" not in error.cmd:
                raise
            pytest.exit(f"{' '.join(error.cmd)}:\n{error.stderr.decode()}", returncode=1)
        finally:
            everything.stop()


def _free_ports() -> dict[str, int]:
    with ExitStack() as sockets:
        probes = {name: sockets.enter_context(socket.socket()) for name in DEFAULT_PORTS}
        for probe in probes.values():
            probe.bind(("127.0.0.1", 0))
        return {name: int(probe.getsockname()[1]) for name, probe in probes.items()}


def deselect_native(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that Docker cannot serve; their mark says why."""
    native = [item for item in items if item.get_closest_marker("native")]
    items[:] = [item for item in items if item not in native]
    config.hook.pytest_deselected(items=native)
    config.stash[REASONS] = sorted({f"{item.path.name}: {_reason(item)}" for item in native})


def _reason(item: pytest.Item) -> str:
    mark = item.get_closest_marker("native")
    assert mark is not None
    return str(mark.args[0])


REASONS = pytest.StashKey[list[str]]()
