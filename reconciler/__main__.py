"""`python -m reconciler`: the reconciler's part of the `aegis` command."""

from __future__ import annotations

import sys

from processor.errors import AegisError
from processor.output import report
from reconciler.commands import app

try:
    app(prog_name="python -m reconciler")
except AegisError as error:
    sys.exit(report(error))
