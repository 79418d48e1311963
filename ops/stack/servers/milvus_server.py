"""A real Milvus, version 2.3.5 in one process: the adapter's tests run on it, nothing else needs it."""

from __future__ import annotations

import lzma
import shutil
import signal
from pathlib import Path

from ops.stack.install import WheelRecipe
from ops.stack.server import Command, Context, Server, base_env, render

_PARTS = (
    *("PROXY", "PROXY_INTERNAL", "ETCD", "ETCD_PEER", "METRICS", "ROOT_COORD", "QUERY_COORD", "QUERY_NODE"),
    *("INDEX_COORD", "INDEX_NODE", "DATA_COORD", "DATA_NODE"),
)
"""Each listens on the port after the one before; clients use the first."""
_BINARIES = "server"


def unpack(folder: Path) -> None:
    """The wheel's own launcher would unpack and start the server, and leave it behind when it is killed."""
    binaries = folder / _BINARIES
    binaries.mkdir()
    for packed in (folder / "milvus/data/bin").glob("*.lzma"):
        target = binaries / packed.stem
        with lzma.open(packed) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        target.chmod(0o755)
    shutil.rmtree(folder / "milvus")


class MilvusServer(Server):
    """Takes some 400 MB; reads are strongly consistent after 0.2 s, so tests take longer than on Lite."""

    name = "milvus_server"
    ports = ("milvus_server",)
    recipes = (WheelRecipe("milvus-server", "milvus_server/requirements.lock", finish=unpack),)
    # told to end by SIGTERM, it takes minutes: its parts wait for each other. All it acknowledged is on disk
    stop_signal = signal.SIGKILL

    def prepare(self, context: Context) -> None:
        """Write the configuration."""
        home = context.data(self.name)
        for file in ("milvus.yaml", "etcd.yaml", "glog.conf"):
            render(f"milvus_server/{file}", home / file, HOME=home, **self._ports(context))

    def command(self, context: Context) -> Command:
        """All parts in one process."""
        home, binaries = context.data(self.name), context.folder(self.recipes[0]) / _BINARIES
        env = base_env(
            LD_LIBRARY_PATH=str(binaries),
            DEPLOY_MODE="STANDALONE",
            METRICS_PORT=str(self._ports(context)["METRICS"]),
            MILVUSCONF=str(home),
            MILVUS_RUN_DIR=str(home / "run"),
        )
        return Command([str(binaries / "milvus"), "run", "standalone"], env, home)

    def _ports(self, context: Context) -> dict[str, int]:
        first = context.port("milvus_server")
        return {part: first + n for n, part in enumerate(_PARTS)}

    def probe(self, context: Context) -> None:
        """List the collections."""
        from pymilvus import MilvusClient

        client = MilvusClient(context.layout.url("milvus_server"), timeout=3)
        try:
            client.list_collections(timeout=3)
        finally:
            client.close()
