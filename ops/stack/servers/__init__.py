"""The local servers, one file each, all of the same shape."""

from __future__ import annotations

from collections.abc import Iterable

from ops.stack.server import Server
from ops.stack.servers.connect import Connect
from ops.stack.servers.elasticsearch import Elasticsearch
from ops.stack.servers.kafka import Kafka
from ops.stack.servers.milvus import Milvus
from ops.stack.servers.milvus_server import MilvusServer
from ops.stack.servers.neo4j import Neo4j
from ops.stack.servers.postgres import Postgres
from ops.stack.servers.redis import Redis
from ops.stack.servers.registry import Registry
from processor.errors import ConfigurationError

SERVERS: dict[str, Server] = {
    server.name: server
    for server in (Postgres(), Kafka(), Registry(), Connect(), Elasticsearch(), Neo4j(), Redis(), Milvus())
}
"""The servers of the path by name, each after those it needs."""

OPTIONAL: dict[str, Server] = {server.name: server for server in (MilvusServer(),)}
"""Started only when they are named; `aegis stack down` ends them with the others."""


def select(names: Iterable[str] = ()) -> list[Server]:
    """The named servers and those they need, in the order of SERVERS; all of those for no name.

    Raises:
        ConfigurationError: there is no server of that name.
    """
    known = SERVERS | OPTIONAL
    wanted: set[str] = set()

    def add(name: str) -> None:
        if name not in known:
            raise ConfigurationError(f"there is no server {name!r}", hint="choose of: " + ", ".join(known))
        wanted.add(name)
        for need in known[name].needs:
            add(need)

    for name in names or SERVERS:
        add(name)
    return [server for server in known.values() if server.name in wanted]
