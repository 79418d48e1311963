"""`python -m processor`: the consumer alone."""

from __future__ import annotations

import sys

import typer

from processor.commands import process
from processor.errors import AegisError
from processor.output import report

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(process)

try:
    app()
except AegisError as error:
    sys.exit(report(error))
