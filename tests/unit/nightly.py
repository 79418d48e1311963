"""The command that every schedule runs, read by the command line's own parser; nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, cast, get_type_hints

import typer.main

from ops.cli import app
from processor.settings import Block, Settings

NIGHTLY: Final = {"apply": True, "deep_every": 7, "max_seconds": 14_400.0, "notify": True}
"""What is asked for wherever it runs; the names of files and the share differ."""
PLACE: Final = {"as_json", "as_html", "as_metrics", "html", "metrics", "shard"}


def parsed(arguments: Sequence[str]) -> dict[str, Any]:
    """Parameters that `aegis reconcile repair ...` gets of these arguments, but for those left as they are.

    Raises:
        click's UsageError: there is no such option, or not with such a value.
    """
    assert tuple(arguments[:3]) == ("aegis", "reconcile", "repair")
    command = cast(Any, typer.main.get_command(app)).commands["reconcile"].commands["repair"]
    context = command.make_context("repair", list(arguments[3:]))
    default = command.make_context("repair", []).params
    return {name: value for name, value in context.params.items() if value != default[name]}


def asked(arguments: Sequence[str]) -> dict[str, Any]:
    """The same without what depends on the place."""
    return {name: value for name, value in parsed(arguments).items() if name not in PLACE}


def setting_names() -> set[str]:
    """Every environment variable that is a setting of ours."""
    hints = get_type_hints(Settings)
    blocks: list[type[Block]] = [hints[field.name] for field in fields(Settings)]
    return {
        f"{block.model_config.get('env_prefix', '')}{name}".upper()
        for block in blocks
        for name in block.model_fields
    }
