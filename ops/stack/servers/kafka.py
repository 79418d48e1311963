"""Kafka, one node that is broker and controller (KRaft)."""

from __future__ import annotations

import base64
import shutil
import subprocess
import uuid

from ops.stack.install import STACK, MavenRecipe
from ops.stack.process import StartFailed
from ops.stack.server import Command, Context, Server, base_env, java_argv, render

LIBS = MavenRecipe("kafka", "kafka/pom.xml")
"""Broker and Connect worker share their jars."""

LOGGING = f"-Dlog4j2.configurationFile={STACK / 'kafka/log4j2.yaml'}"


class Kafka(Server):
    """The broker; topics are made on purpose, never by a client that mistypes a name."""

    name = "kafka"
    ports = ("kafka", "kafka_controller")
    recipes = (LIBS,)

    def prepare(self, context: Context) -> None:
        """Write the configuration; format the storage at the first time."""
        home = context.data(self.name)
        self._render(context, "server.properties", "logs")
        if not (home / "logs").exists():
            self._format(context)

    def command(self, context: Context) -> Command:
        """Heap for a few partitions and records of up to 16 MiB."""
        home = context.data(self.name)
        argv = self._java(context, "-Xms64m -Xmx512m", "kafka.Kafka", str(home / "server.properties"))
        return Command(argv, base_env(), home)

    def probe(self, context: Context) -> None:
        """Ask for the cluster's metadata."""
        from confluent_kafka.admin import AdminClient

        # log_level 0: librdkafka would write every refused connection to the terminal.
        client = AdminClient({"bootstrap.servers": f"127.0.0.1:{context.port('kafka')}", "log_level": 0})
        if not client.list_topics(timeout=1).brokers:
            raise ConnectionError("the broker has not registered itself yet")

    def _format(self, context: Context) -> None:
        """Format under another name, so that a folder half formatted is never taken for a whole one."""
        home = context.data(self.name)
        shutil.rmtree(home / "logs.partial", ignore_errors=True)
        self._render(context, "format.properties", "logs.partial")
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        argv = self._java(context, "-Xmx128m -XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", "format")
        argv += ["--standalone", "-t", cluster_id, "-c", str(home / "format.properties")]
        done = subprocess.run(argv, env=base_env(), cwd=home, capture_output=True, text=True, check=False)
        if done.returncode:
            output = (done.stdout + done.stderr).strip()
            raise StartFailed(f"kafka: formatting its storage failed:\n{output}", hint="aegis stack reset")
        (home / "logs.partial").rename(home / "logs")

    def _render(self, context: Context, file: str, logs: str) -> None:
        home = context.data(self.name)
        render(
            "kafka/server.properties",
            home / file,
            PORT=context.port("kafka"),
            CONTROLLER_PORT=context.port("kafka_controller"),
            DATA=home / logs,
        )

    def _java(self, context: Context, heap: str, *args: str) -> list[str]:
        return java_argv(heap, LOGGING, "-cp", f"{context.folder(LIBS)}/libs/*", *args)
