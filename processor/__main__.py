"""`python -m processor`: the consumer alone."""

import sys

import typer

from processor.commands import process
from processor.errors import AegisError

try:
    typer.run(process)
except AegisError as error:
    print(f"error: {error}" + (f"\nnext: {error.hint}" if error.hint else ""), file=sys.stderr)
    sys.exit(error.exit_code)
