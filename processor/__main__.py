"""`python -m processor`: the consumer alone."""

from __future__ import annotations

import sys

import typer

from processor.commands import process
from processor.errors import AegisError
from processor.output import report

try:
    typer.run(process)
except AegisError as error:
    sys.exit(report(error))
