"""deploy/kubernetes/base/exit-code.sh: what Kubernetes is told of a run."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Final

import pytest

from ops.stack.layout import ROOT

WRAPPER: Final = ROOT / "deploy" / "kubernetes" / "base" / "exit-code.sh"


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 10, 11])
def test_for_kubernetes_a_verified_repair_is_a_success_and_all_else_stays(code: int) -> None:
    ended = subprocess.run(["sh", WRAPPER, "sh", "-c", f"exit {code}"], check=False)
    assert ended.returncode == (0 if code == 2 else code)


def test_arguments_reach_the_command_as_they_are() -> None:
    ended = subprocess.run(["sh", WRAPPER, "printf", "<%s>", "a b", "*", ""], capture_output=True, check=True)
    assert ended.stdout == b"<a b><*><>"


@pytest.mark.parametrize("code", [4, 2])
def test_the_end_of_the_pod_reaches_the_command_whose_exit_code_is_waited_for(code: int) -> None:
    command = (
        "import signal, sys\n"
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}))\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()"
    )
    with subprocess.Popen(
        ["sh", WRAPPER, sys.executable, "-c", command], stdout=subprocess.PIPE, text=True
    ) as wrapper:
        assert wrapper.stdout is not None
        assert wrapper.stdout.readline() == "ready\n"
        wrapper.send_signal(signal.SIGTERM)
        assert wrapper.wait(30) == (0 if code == 2 else code)
