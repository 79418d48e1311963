"""The options that `aegis reconcile check` and `repair` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from processor.errors import STORE_CODES, ConfigurationError

if TYPE_CHECKING:
    from processor.tables.base import Projection

Tables = Annotated[str | None, typer.Option("--tables", help="Only these, separated by commas.")]
Stores = Annotated[str | None, typer.Option("--stores", help="Only these, separated by commas.")]
Deep = Annotated[bool, typer.Option("--deep", help="Compare every field and vector, too.")]
DeepEvery = Annotated[
    int | None, typer.Option("--deep-every", min=1, help="The same of one key in N, another share each run.")
]
ShardOf = Annotated[
    str | None, typer.Option("--shard", help="Only keys of share i of n, by hash: i/n, i from 0.")
]
MaxSeconds = Annotated[
    float | None, typer.Option("--max-seconds", min=1, help="Stop after so long, to be continued.")
]
RowsPerSecond = Annotated[
    float | None, typer.Option("--rows-per-second", min=1, help="Read no faster, both sides together.")
]
FenceSeconds = Annotated[
    float, typer.Option("--fence-seconds", min=1, help="How long the stores may lag behind.")
]
MaxSuspects = Annotated[
    int, typer.Option("--max-suspects", min=1, help="Give up a table and store in which more differs.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Do not continue a run that stopped early.")]
AsJson = Annotated[Path | None, typer.Option("--json", help="Write JSON to this file; - for the terminal.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write a page for people to this file.")]
Metrics = Annotated[
    Path | None, typer.Option("--metrics", help="Write a file for Prometheus' textfile collector.")
]
Notify = Annotated[
    bool, typer.Option("--notify", help="Tell those in NOTIFY_URLS of everything but 'consistent'.")
]


def tables_of(names: str | None) -> list[Projection]:
    """Of `--tables`; all that stores show without it.

    Raises:
        ConfigurationError: no such table; names those there are.
    """
    from processor.tables import PROJECTIONS, projection_of

    if names is None:
        return [projection for projection in PROJECTIONS if projection.views]
    try:
        return [projection_of(name.strip()) for name in names.split(",")]
    except KeyError as error:
        known = ",".join(projection.name for projection in PROJECTIONS)
        raise ConfigurationError(f"no projected table {error.args[0]!r}", hint=f"--tables {known}") from None


def stores_of(names: str | None) -> frozenset[str] | None:
    """Of `--stores`; None for all.

    Raises:
        ConfigurationError: no such store; names those there are.
    """
    if names is None:
        return None
    wanted = frozenset(name.strip() for name in names.split(","))
    if wrong := wanted - STORE_CODES.keys():
        known = ",".join(sorted(STORE_CODES))
        raise ConfigurationError(f"no store {min(wrong)!r}", hint=f"--stores {known}")
    return wanted
