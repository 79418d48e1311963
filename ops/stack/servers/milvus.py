"""Milvus Lite as a server, the vector store."""

from __future__ import annotations

import sys

from ops.stack.install import WheelRecipe
from ops.stack.server import Command, Context, Server, base_env

_MEMTABLE_BYTES = 8 * 1024 * 1024


class Milvus(Server):
    """The embedded edition: every scan reads all rows in Python, so keep it under some 20,000 rows."""

    name = "milvus"
    ports = ("milvus",)
    recipes = (WheelRecipe("milvus", "milvus/requirements.lock"),)

    def prepare(self, context: Context) -> None:
        """Only a folder: everything is set on the command line."""
        context.data(self.name)

    def command(self, context: Context) -> Command:
        """One worker: with more, acknowledged writes get lost. `-S`: its own packages and no others."""
        home = context.data(self.name)
        argv = [
            sys.executable,
            "-S",
            "-m",
            "milvus_lite",
            "server",
            "--host",
            "127.0.0.1",
            "--max-workers",
            "1",
        ]
        argv += ["--port", str(context.port("milvus")), "--data-dir", str(home / "data")]
        env = base_env(
            PYTHONPATH=str(context.folder(self.recipes[0])),
            PYTHONDONTWRITEBYTECODE="1",
            PYTHONUNBUFFERED="1",
            MILVUS_LITE_MEMTABLE_MEMORY_LIMIT_BYTES=str(_MEMTABLE_BYTES),
        )
        return Command(argv, env, home)

    def probe(self, context: Context) -> None:
        """List the collections."""
        from pymilvus import MilvusClient

        client = MilvusClient(context.layout.url("milvus"), timeout=3)
        try:
            client.list_collections(timeout=3)
        finally:
            client.close()
