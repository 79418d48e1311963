"""Kafka Connect, distributed mode, with Debezium and the Avro converter as plugins."""

from __future__ import annotations

from pathlib import Path

from ops.stack.install import MavenRecipe, WheelRecipe
from ops.stack.process import StartFailed
from ops.stack.server import Command, Context, Server, ask, base_env, java_argv, render
from ops.stack.servers.avro_converter import keep_converter
from ops.stack.servers.kafka import LIBS, LOGGING


def _keep_converter(folder: Path) -> None:
    try:
        keep_converter(folder)
    except LookupError as error:
        raise StartFailed(f"connect: {error}", hint="check stack/connect/requirements.in") from error


DEBEZIUM = MavenRecipe("debezium", "connect/pom.xml")
CONVERTER = WheelRecipe("avro-converter", "connect/requirements.lock", _keep_converter)


class Connect(Server):
    """The worker; it holds connectors, offsets and status in Kafka and nothing on disk."""

    name = "connect"
    ports = ("connect",)
    recipes = (LIBS, DEBEZIUM, CONVERTER)
    needs = ("kafka", "registry")

    def prepare(self, context: Context) -> None:
        """Write the worker's configuration."""
        render(
            "connect/worker.properties",
            context.data(self.name) / "worker.properties",
            PORT=context.port("connect"),
            KAFKA_PORT=context.port("kafka"),
            REGISTRY_PORT=context.port("registry"),
            PLUGINS=",".join(str(context.folder(recipe) / "plugins") for recipe in (DEBEZIUM, CONVERTER)),
        )

    def command(self, context: Context) -> Command:
        """Heap for a queue of large changes: an update carries its row twice."""
        home = context.data(self.name)
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        argv = java_argv("-Xms96m -Xmx768m", LOGGING, "-cp", f"{context.folder(LIBS)}/libs/*", main)
        env = base_env(POSTGRES_DEBEZIUM_PASSWORD=context.credentials.postgres_debezium)
        return Command([*argv, str(home / "worker.properties")], env, home)

    def probe(self, context: Context) -> None:
        """List the connectors: answered only once the worker has joined its group."""
        ask(context.layout.url("connect") + "/connectors")
