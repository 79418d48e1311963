"""`aegis notify`: try the addresses that are told of drift, before there is any."""

from __future__ import annotations

from typing import Annotated

import typer

from processor.errors import ConfigurationError
from processor.output import out
from processor.settings import NotifySettings, read_block


def notify(
    text: Annotated[str, typer.Argument(help="What to send.")] = "This is a test: nothing happened.",
) -> None:
    """Send a test notice to every address of NOTIFY_URLS, and say which did not take it.

    Example: aegis notify "hello from the test environment"
    """
    from processor import notify as notices

    settings = read_block(NotifySettings)
    if not settings.addresses:
        raise ConfigurationError(
            "NOTIFY_URLS is empty: nobody is told",
            hint="set it in the environment or in .env; docs/schedule.md has examples",
        )
    notices.notify(settings, notices.Notice(title="Aegis: a test", body=text, failed=False))
    out.print(f"delivered: {len(settings.addresses)}", highlight=False)
