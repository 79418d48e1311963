"""How the commands speak: results on stdout, everything about their making on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console

from processor.errors import AegisError
from processor.mask import redact

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


def print_json(value: Any) -> None:
    """Write `value` as one JSON document to stdout; Hangul stays readable."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def report(error: AegisError) -> int:
    """Tell the user what happened, why, and what to run next; return the exit code that fits."""
    code = f" [{error.code}]" if error.code else ""
    err.print(redact(f"error{code}: {error}"), style="bold red", markup=False, highlight=False)
    if error.hint:
        err.print(redact(f"next: {error.hint}"), markup=False, highlight=False)
    return error.exit_code
