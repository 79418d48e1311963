"""Some servers refuse to run as root; then, and only then, they run as `nobody`."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def as_nobody() -> list[str]:
    """Prefix for servers that refuse root; empty for every other user."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def give_to_nobody(folder: Path) -> None:
    """As root, make `nobody` the owner of the folder and all in it."""
    if os.geteuid() != 0:
        return
    user = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
