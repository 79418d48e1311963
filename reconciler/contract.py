"""Exit codes of `aegis reconcile`, whatever ends it; see docs/reconciliation.md."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from processor.errors import AegisError, ConfigurationError
from processor.output import err
from processor.output import report as print_error
from reconciler.errors import CannotVerify, Overlapping, StoppedEarly

USAGE_ERROR: Final[type[Any]] = typer.BadParameter.__mro__[1]
"""The parent of all that can be wrong with a command line, which typer does not export."""
INTERNAL: Final = 11
OF_THE_CONTRACT: Final = frozenset(
    kind.exit_code for kind in (CannotVerify, StoppedEarly, Overlapping, ConfigurationError)
)


class Contract:
    """A wrong option is a wrong configuration: elsewhere that is 2, which means "drift, repaired" here."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """As the parent's."""
        with _usage():
            return super().make_context(*args, **kwargs)  # type: ignore[misc]

    def invoke(self, ctx: Any) -> Any:
        """As the parent's."""
        with _usage():
            return super().invoke(ctx)  # type: ignore[misc]


class ContractCommand(Contract, TyperCommand):
    """A command."""


class ContractGroup(Contract, TyperGroup):
    """The group of them."""


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except USAGE_ERROR as error:
        error.exit_code = ConfigurationError.exit_code
        raise


@contextmanager
def exit_codes() -> Iterator[None]:
    """Those of the contract: what ends a run for another reason than these has verified nothing."""
    try:
        yield
    except AegisError as error:
        code = print_error(error)
        raise typer.Exit(code=code if code in OF_THE_CONTRACT else CannotVerify.exit_code) from error
    except Exception:
        err.print_exception()
        raise typer.Exit(code=INTERNAL) from None
