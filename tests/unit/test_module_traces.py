"""`python -m ...` tells of a defect by a plain trace: typer's own one may show the values of variables."""

from __future__ import annotations

import subprocess
import sys

import pytest

DEFECT = """
import runpy, sys, typer.main

def defect(*_args, **_more):
    raise RuntimeError("defect")

typer.main.get_command = defect
runpy.run_module(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("module", ["intake", "processor", "reconciler"])
def test_a_defect_of_a_module_is_told_by_a_plain_trace(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DEFECT, module], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback (most recent call last):\n")
    assert ended.stderr.endswith("\nRuntimeError: defect\n")
