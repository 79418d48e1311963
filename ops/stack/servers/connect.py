"""Kafka Connect, distributed mode, with Debezium and the Avro converter as plugins."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

from ops.stack.install import MavenRecipe, WheelRecipe
from ops.stack.process import StartFailed
from ops.stack.server import Command, Context, Server, ask, base_env, java_argv, render
from ops.stack.servers.kafka import LIBS, LOGGING

_JARS = re.compile(
    r"(kafka-connect-avro-(converter|data)|kafka-avro-serializer|kafka-schema-(registry-client|serializer)"
    r"|common-utils|avro|commons-compress|guava|failureaccess)-\d[^/]*\.jar"
)
_SERVICE = "META-INF/services/org.apache.kafka.connect.storage.Converter"


def keep_converter(folder: Path) -> None:
    """Keep of the wheel the jars of Confluent's AvroConverter only, as one plugin folder."""
    plugin = folder / "plugins" / "confluent-avro"
    plugin.mkdir(parents=True)
    for jar in [path for path in folder.rglob("*.jar") if _JARS.fullmatch(path.name)]:
        shutil.move(jar, plugin / jar.name)
    if not list(plugin.glob("kafka-connect-avro-converter-*.jar")):
        raise StartFailed(
            "connect: the wheel holds no Avro converter", hint="check stack/connect/requirements.in"
        )
    # Version 7.0 predates the manifests that plugin.discovery=service_load looks for (KIP-898).
    with zipfile.ZipFile(plugin / "manifest.jar", "w") as manifest:
        manifest.writestr(_SERVICE, "io.confluent.connect.avro.AvroConverter\n")
    for other in folder.iterdir():
        if other.name != "plugins":
            shutil.rmtree(other) if other.is_dir() else other.unlink()


DEBEZIUM = MavenRecipe("debezium", "connect/pom.xml")
CONVERTER = WheelRecipe("avro-converter", "connect/requirements.lock", keep_converter)


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
