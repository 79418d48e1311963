"""Whose data lies in the state folder: root's lies outside the checkout, so it can outlive it.

A checkout made anew in the same place would find servers full of rows, offsets and stores of other code.
A mark in the checkout and the same in the folder tell whether they belong together.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from ops.stack.layout import ROOT, StackLayout, default_state_dir

MARK = "checkout"


def is_predecessors(layout: StackLayout) -> bool:
    """The folder holds data of a checkout that is gone. Never so for a folder chosen by AEGIS_STACK_DIR."""
    if layout.state_dir != default_state_dir(ROOT) or not layout.credentials_file.exists():
        return False
    ours = _read(ROOT / ".stack" / MARK)
    return ours is None or _read(layout.state_dir / MARK) != ours


def claim(layout: StackLayout) -> None:
    """Mark the default folder as this checkout's."""
    if layout.state_dir != default_state_dir(ROOT):
        return
    ours = ROOT / ".stack" / MARK
    token = _read(ours) or secrets.token_hex(8)
    for mark in (ours, layout.state_dir / MARK):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.write_text(token)


def _read(mark: Path) -> str | None:
    return mark.read_text() if mark.exists() else None
