"""`python -m intake`: the intake's part of the `aegis` command."""

from __future__ import annotations

import sys

from intake.commands import app
from processor.errors import AegisError
from processor.output import report

try:
    app(prog_name="python -m intake")
except AegisError as error:
    sys.exit(report(error))
