"""`aegis migrate` and `aegis seed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from processor.database import engine_of
from processor.errors import ConfigurationError
from processor.output import out, print_json
from processor.settings import PostgresSettings, load_settings

if TYPE_CHECKING:
    from sql.migrate import Roles


def roles_of(settings: PostgresSettings) -> Roles:
    """The roles that the migrations create.

    Raises:
        ConfigurationError: a password is not set; a role without a password could not log in.
    """
    from sql.migrate import Role, Roles

    roles = Roles(
        debezium=Role(settings.debezium_user, settings.debezium_password.get_secret_value()),
        processor=Role(settings.processor_user, settings.processor_password.get_secret_value()),
    )
    passwords = {
        "POSTGRES_DEBEZIUM_PASSWORD": roles.debezium.password,
        "POSTGRES_PROCESSOR_PASSWORD": roles.processor.password,
    }
    if missing := [name for name, password in passwords.items() if not password]:
        raise ConfigurationError(
            f"{' and '.join(missing)} must be set",
            hint="set it in .env, or run `aegis stack up` for local servers with generated ones",
        )
    return roles


def migrate(
    to: Annotated[str, typer.Option("--to", help="Revision to end at.", show_default=True)] = "head",
) -> None:
    """Bring the database's schema to the newest revision; nothing changes when it is there already.

    Example: aegis migrate
    """
    from sql.migrate import upgrade

    settings = load_settings().postgres
    with engine_of(settings.url()) as engine:
        try:
            before, after = upgrade(engine, roles_of(settings), to)
        except ValueError as error:
            raise ConfigurationError(
                f"database {settings.db}: {error}", hint="aegis migrate (without --to), or a newer Aegis"
            ) from error
    step = f"already at {after}" if before == after else f"{before or 'empty'} -> {after}"
    out.print(f"database {settings.db}: {step}", highlight=False)


def seed(
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many policies.")] = 400,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Insert sample policies, users, business rules and documents; rows that are there stay as they are.

    Users get their encrypted fields where a key is configured.

    Example: aegis seed --count 400
    """
    from intake.keys import find_sealer
    from intake.seed import write_all

    settings, sealer = load_settings().postgres, find_sealer()
    with engine_of(settings.url()) as engine:
        results = write_all(engine, count, sealer)
    if as_json:
        print_json({name: {"inserted": r.inserted, "present": r.present} for name, r in results.items()})
        return
    for name, result in results.items():
        out.print(f"{name}: {result.inserted} inserted, {result.present} already there", highlight=False)
