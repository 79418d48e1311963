"""`aegis refresh`: have rows read again from PostgreSQL and the stores brought to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import uuid4

import typer

from processor.errors import ConfigurationError
from processor.output import out, print_json
from processor.settings import Settings, load_settings

if TYPE_CHECKING:
    from processor.refresh import Command
    from processor.tables.base import Projection

CHUNK: Final = 5_000
"""Commands that are sent before their acknowledgement is waited for, and rows fetched at a time."""
Keys = Iterable[Mapping[str, Any]]


def refresh(
    table: Annotated[str, typer.Argument(help="Table, for example policies.")],
    keys: Annotated[
        list[str] | None, typer.Argument(help="Keys: the plain value, or col=value,col=value.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="Rows that meet this SQL condition; true: all.")
    ] = None,
    stores: Annotated[str | None, typer.Option("--stores", help="Only these, separated by commas.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write every field and make vectors anew, wrong or right.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Have rows read again and every store brought to them: written, or removed where the row is gone.

    Sends commands, which the running processor obeys; `aegis status` shows how many are left.

    Example: aegis refresh policies POL-2025-001
    """
    from ops.trace import find_projection
    from processor.refresh import Command

    projection, settings = find_projection(table), load_settings()
    if bool(keys) == bool(where):
        raise ConfigurationError(
            "name either keys or, by --where, rows",
            hint=f'aegis refresh {table} --where "updated_at > now()"',
        )
    command = Command(
        run_id=uuid4().hex, reason="aegis refresh", stores=_stores(projection, stores), force=force
    )
    found = _named(projection, keys) if keys else _matching(settings, projection, where or "")
    count = sum(1 for _ in found) if dry_run else _send(settings, projection, found, command)
    if as_json:
        print_json({"table": projection.name, "rows": count, "sent": 0 if dry_run else count})
    elif dry_run:
        out.print(f"{projection.name}: {count:,} rows would be read again", highlight=False)
    else:
        out.print(f"{projection.name}: {count:,} commands sent", highlight=False)


def _stores(projection: Projection, names: str | None) -> frozenset[str] | None:
    if names is None:
        return None
    known = {view.store for view in projection.views}
    wanted = frozenset(name.strip() for name in names.split(","))
    if wrong := wanted - known:
        raise ConfigurationError(
            f"{projection.name} has no view in {', '.join(map(repr, sorted(wrong)))}",
            hint=f"--stores {','.join(sorted(known))}",
        )
    return wanted


def _named(projection: Projection, keys: Iterable[str]) -> list[Mapping[str, Any]]:
    """All are read before the first is sent."""
    found: list[Mapping[str, Any]] = []
    for key in keys:
        try:
            found.append(projection.parse_key(key))
        except ValueError as error:
            raise ConfigurationError(f"{key!r} is not a key of {projection.name}: {error}") from error
    return found


def _matching(settings: Settings, projection: Projection, where: str) -> Iterator[Mapping[str, Any]]:
    """Streamed, as the role that may read the published columns and nothing else."""
    import sqlalchemy as sa

    from processor.database import connect
    from processor.source import select_keys

    # a literal: in sa.text a colon would begin a parameter
    query = select_keys(projection).where(sa.literal_column(f"({where})", sa.Boolean))
    with connect(settings.postgres.processor_url()) as connection:
        connection.execute(sa.text("SET TRANSACTION READ ONLY"))
        try:
            rows = connection.execution_options(yield_per=CHUNK).execute(query)
            yield from (dict(row) for row in rows.mappings())
        except (sa.exc.ProgrammingError, sa.exc.DataError, sa.exc.InternalError) as error:
            reason = str(error.orig).strip().splitlines()[0]
            raise ConfigurationError(f"--where {where!r}: {reason}") from error


def _send(settings: Settings, projection: Projection, keys: Keys, command: Command) -> int:
    from processor.delivery import Delivery
    from processor.refresh import request
    from processor.tables import topic_of

    topic = topic_of(settings.kafka.topic_prefix, projection)
    requests = (request(topic, projection, values, command) for values in keys)
    delivery, count = Delivery(settings.kafka), 0
    while chunk := list(islice(requests, CHUNK)):
        delivery.send(chunk)
        count += len(chunk)
    return count
