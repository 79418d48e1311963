"""Connections to PostgreSQL whose failures say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from processor.errors import AegisError, SourceError

if TYPE_CHECKING:
    import sqlalchemy as sa

OTHERS_IN_THE_WAY: Final = {"40", "55"}
"""Classes of SQLSTATE: the transaction was rolled back (deadlock), or what it needs is in use (locks)."""


def make_engine(url: sa.URL, **options: Any) -> sa.Engine:
    """An engine whose errors and logs hold no value of a row; `options` as of `sqlalchemy.create_engine`.

    All engines are made here. PostgreSQL tells the values of the row in the DETAIL of an error, SQLAlchemy
    those of the statement: a duplicate address would stand in a log or on a screen.
    """
    import sqlalchemy as sa

    engine = sa.create_engine(url, hide_parameters=True, **options)
    sa.event.listen(engine, "handle_error", _forget_details)
    return engine


def _forget_details(context: sa.ExceptionContext) -> None:
    """Leave of PostgreSQL's answer what happened and what to do; its `diag` still has all of it."""
    import psycopg

    error, wrapped = context.original_exception, context.sqlalchemy_exception
    if not isinstance(error, psycopg.Error) or not error.diag.message_primary:
        return
    hint = error.diag.message_hint
    told = error.diag.message_primary + (f"\nHINT:  {hint}" if hint else "")
    error.args = (told,)
    if wrapped is not None:
        wrapped.args = (f"({type(error).__module__}.{type(error).__qualname__}) {told}",)


@contextmanager
def engine_of(url: sa.URL, connect_args: Mapping[str, str] | None = None) -> Iterator[sa.Engine]:
    """An engine without a pool, whose connection errors are ours; raises as `explaining`."""
    from sqlalchemy import NullPool

    engine = make_engine(url, poolclass=NullPool, connect_args=dict(connect_args or {}))
    try:
        with explaining(url):
            yield engine
    finally:
        engine.dispose()


@contextmanager
def explaining(url: sa.URL) -> Iterator[None]:
    """Turn what connections meet into errors that say what to do.

    Raises:
        SourceError: PostgreSQL does not answer, does not let us in, lacks a table or a right, or another
            transaction was in the way.
    """
    import sqlalchemy as sa
    from psycopg.errors import InsufficientPrivilege, UndefinedTable

    try:
        yield
    except sa.exc.OperationalError as error:
        raise _explain(url, error.orig) from error
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


@contextmanager
def connect(url: sa.URL) -> Iterator[sa.Connection]:
    """A connection in a transaction that is rolled back at the end: for reading."""
    with engine_of(url) as engine, engine.connect() as connection:
        yield connection


def _explain(url: sa.URL, error: BaseException | None) -> AegisError:
    where = f"postgresql at {url.host}:{url.port}"
    reason = str(error)
    first = reason.strip().splitlines()[0] if reason.strip() else "no reason given"
    if (getattr(error, "sqlstate", None) or "")[:2] in OTHERS_IN_THE_WAY:
        return SourceError(f"{where}: {first}", hint="run the same command again, when others have ended")
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
