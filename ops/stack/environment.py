"""The endpoints of the local servers under the names that processor/settings.py reads."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from types import MappingProxyType

from ops.stack.credentials import Credentials, load_credentials, write_private
from ops.stack.layout import StackLayout
from ops.stack.servers.postgres import DATABASE, OWNER
from ops.stack.servers.registry import API
from processor.errors import ConfigurationError


def endpoints(layout: StackLayout, credentials: Credentials) -> dict[str, str]:
    """All settings that lead the programs of this checkout to this stack."""
    host, port = "127.0.0.1", layout.ports
    address = f"{host}:{port['postgres']}"
    return {
        "POSTGRES_DSN": f"postgresql://{OWNER}:{credentials.postgres_owner}@{address}/{DATABASE}",
        "POSTGRES_HOST": host,
        "POSTGRES_PORT": str(port["postgres"]),
        "POSTGRES_DB": DATABASE,
        "POSTGRES_USER": OWNER,
        "POSTGRES_PASSWORD": credentials.postgres_owner,
        "POSTGRES_DEBEZIUM_USER": "debezium_user",
        "POSTGRES_DEBEZIUM_PASSWORD": credentials.postgres_debezium,
        "POSTGRES_PROCESSOR_USER": "aegis_processor",
        "POSTGRES_PROCESSOR_PASSWORD": credentials.postgres_processor,
        "FIELD_KEYS": credentials.field_key,
        "KAFKA_BOOTSTRAP_SERVERS": f"{host}:{port['kafka']}",
        "CONNECT_URL": layout.url("connect"),
        "SCHEMA_REGISTRY_URL": layout.url("registry") + API,
        "MILVUS_URI": layout.url("milvus"),
        "NEO4J_URI": layout.url("neo4j", "bolt"),
        "NEO4J_USER": "neo4j",
        "NEO4J_PASSWORD": credentials.neo4j,
        "SEARCH_URL": layout.url("elasticsearch"),
        "REDIS_URL": layout.url("redis", "redis") + "/0",
        # the vectors of sentence-transformers without torch, which `make setup` does not install
        "EMBEDDING_ENGINE": "onnx",
    }


def known_endpoints(layout: StackLayout) -> dict[str, str]:
    """The endpoints of a stack that was started at least once.

    Raises:
        ConfigurationError: it never was, so it has no passwords yet.
    """
    if not layout.credentials_file.exists():
        raise ConfigurationError("this checkout's local stack was never started", hint="aegis stack up")
    return endpoints(layout, load_credentials(layout))


def shell_exports(variables: dict[str, str]) -> str:
    """Lines for `eval "$(aegis stack env)"`."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def write_env_file(
    layout: StackLayout, credentials: Credentials, more: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Leave the endpoints, and `more`, where the programs of this checkout look; the file holds passwords."""
    lines = [f"{name}={value}\n" for name, value in {**endpoints(layout, credentials), **more}.items()]
    head = "# Written by `aegis stack up`, removed by `aegis stack reset`. Put your own settings into .env.\n"
    write_private(layout.env_file, head + "".join(lines))
