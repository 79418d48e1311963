"""Neo4j Community, the graph."""

from __future__ import annotations

import subprocess

from ops.stack.install import MavenRecipe
from ops.stack.process import StartFailed
from ops.stack.server import Command, Context, Server, base_env, java_argv, render

USER = "neo4j"

_OPEN = ("java.nio", "java.io", "sun.nio.ch", "java.util.concurrent", "java.lang")
_OPTIONS = (
    "-Dfile.encoding=UTF-8",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dlog4j2.disable.jmx=true",
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPEN),
)


class Neo4j(Server):
    """Bolt only; the browser and its HTTP server are off."""

    name = "neo4j"
    ports = ("neo4j",)
    recipes = (MavenRecipe("neo4j", "neo4j/pom.xml"),)

    def prepare(self, context: Context) -> None:
        """Write the configuration; set the password before the system database exists."""
        home = context.data(self.name)
        render("neo4j/neo4j.conf", home / "conf" / "neo4j.conf", PORT=context.port("neo4j"))
        if not (home / "data" / "databases" / "system").exists():
            self._set_password(context)

    def command(self, context: Context) -> Command:
        """The server in the foreground."""
        home = context.data(self.name)
        main = "org.neo4j.server.CommunityEntryPoint"
        argv = self._java(
            context, "-Xms256m -Xmx512m", main, f"--home-dir={home}", f"--config-dir={home / 'conf'}"
        )
        return Command([*argv, "--console-mode"], self._env(context), home)

    def probe(self, context: Context) -> None:
        """RETURN 1 over Bolt."""
        from neo4j import GraphDatabase

        url, auth = context.layout.url("neo4j", "bolt"), (USER, context.credentials.neo4j)
        # A session's own run: execute_query would retry, and log, a refused connection for 30 s.
        with (
            GraphDatabase.driver(url, auth=auth, connection_timeout=3) as driver,
            driver.session(database="neo4j") as session,
        ):
            session.run("RETURN 1").consume()

    def _set_password(self, context: Context) -> None:
        """The tool takes the password as an argument only: other users could read it for a second."""
        argv = self._java(context, "-Xmx128m", "org.neo4j.cli.AdminTool", "dbms", "set-initial-password")
        argv.append(context.credentials.neo4j)
        home, env = context.data(self.name), self._env(context)
        done = subprocess.run(argv, env=env, cwd=home, capture_output=True, text=True, check=False)
        if done.returncode:
            output = (done.stdout + done.stderr).strip()
            raise StartFailed(f"neo4j: setting its password failed:\n{output}", hint="aegis stack reset")

    def _java(self, context: Context, heap: str, *args: str) -> list[str]:
        return java_argv(heap, *_OPTIONS, "-cp", f"{context.folder(self.recipes[0])}/libs/*", *args)

    def _env(self, context: Context) -> dict[str, str]:
        home = context.data(self.name)
        return base_env(NEO4J_HOME=str(home), NEO4J_CONF=str(home / "conf"))
