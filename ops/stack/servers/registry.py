"""Apicurio Registry, used through Confluent's API."""

from __future__ import annotations

from ops.stack.install import MavenRecipe
from ops.stack.server import Command, Context, Server, ask, base_env, java_argv

API = "/apis/ccompat/v7"


class Registry(Server):
    """The schema registry; ids live in an H2 file, in memory they would be forgotten at a restart."""

    name = "registry"
    ports = ("registry", "registry_management")
    recipes = (MavenRecipe("registry", "registry/pom.xml"),)

    def prepare(self, context: Context) -> None:
        """Only a folder: everything is set on the command line."""
        context.data(self.name)

    def command(self, context: Context) -> Command:
        """A Quarkus application."""
        options = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": context.port("registry"),
            "quarkus.management.host": "127.0.0.1",
            "quarkus.management.port": context.port("registry_management"),
            "quarkus.http.access-log.enabled": "false",
            "quarkus.log.level": "WARN",
            "apicurio.storage.kind": "sql",
            "apicurio.storage.sql.kind": "h2",
            "apicurio.datasource.url": f"jdbc:h2:file:{context.data(self.name) / 'h2'}",
        }
        settings = [f"-D{name}={value}" for name, value in options.items()]
        argv = java_argv("-Xms64m -Xmx256m", *settings, "-jar", "quarkus-run.jar")
        return Command(argv, base_env(), context.folder(self.recipes[0]) / "registry")

    def probe(self, context: Context) -> None:
        """List the subjects."""
        ask(context.layout.url("registry") + API + "/subjects")
