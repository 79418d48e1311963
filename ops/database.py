"""`aegis migrate` and `aegis seed`, and connections whose failures say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from ops.output import out, print_json
from processor.errors import AegisError, ConfigurationError, SourceError
from processor.settings import PostgresSettings, load_settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from sql.migrate import Roles


@contextmanager
def engine_of(url: sa.URL) -> Iterator[sa.Engine]:
    """An engine without a pool, whose connection errors are ours.

    Raises:
        SourceError: PostgreSQL does not answer, does not let us in, or lacks a table or a right.
    """
    import sqlalchemy as sa
    from psycopg.errors import InsufficientPrivilege, UndefinedTable

    engine = sa.create_engine(url, poolclass=sa.NullPool)
    try:
        yield engine
    except sa.exc.OperationalError as error:
        raise _explain(url, str(error.orig)) from error
    except sa.exc.ProgrammingError as error:
        first = str(error.orig).splitlines()[0]
        if isinstance(error.orig, UndefinedTable):
            raise SourceError(f"database {url.database}: {first}", hint="aegis migrate") from error
        if isinstance(error.orig, InsufficientPrivilege):
            raise SourceError(
                f"database {url.database}: role {url.username}: {first}",
                hint="set POSTGRES_USER and POSTGRES_PASSWORD to the owner of the database",
            ) from error
        raise
    finally:
        engine.dispose()


@contextmanager
def connect(url: sa.URL) -> Iterator[sa.Connection]:
    """A connection in a transaction that is rolled back at the end: for reading."""
    with engine_of(url) as engine, engine.connect() as connection:
        yield connection


def _explain(url: sa.URL, reason: str) -> AegisError:
    where = f"postgresql at {url.host}:{url.port}"
    first = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    if "password authentication failed" in reason or "no password supplied" in reason:
        return SourceError(
            f"{where} refuses role {url.username}: {first}",
            hint="check the POSTGRES_* settings; `aegis stack env` shows those of the local servers",
        )
    if "does not exist" in reason:
        return SourceError(f"{where}: {first}", hint="check POSTGRES_DB, or run: aegis stack up postgres")
    return SourceError(
        f"{where} does not answer: {first}",
        hint="aegis stack up postgres, or check POSTGRES_HOST and POSTGRES_PORT",
    )


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
    """Insert sample policies, users and business rules; rows that are there stay as they are.

    Example: aegis seed --count 400
    """
    from sql.seed import write_all

    settings = load_settings().postgres
    with engine_of(settings.url()) as engine:
        results = write_all(engine, count)
    if as_json:
        print_json({name: {"inserted": r.inserted, "present": r.present} for name, r in results.items()})
        return
    for name, result in results.items():
        out.print(f"{name}: {result.inserted} inserted, {result.present} already there", highlight=False)
